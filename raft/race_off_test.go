//go:build !race

package raft

// raced says that the race detector runs, which makes all eight times slower.
const raced = false
