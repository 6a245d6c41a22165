//go:build !linux

package main

import "syscall"

// dependent keeps a terminal's Ctrl-C from a child, which its parent stops.
// Only Linux ends a child whose parent was killed.
func dependent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
