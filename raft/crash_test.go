package raft

func victim(dir string) {}
