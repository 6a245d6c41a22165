//go:build !linux

package peer

import "syscall"

// Dependent is for a child process that its parent stops: a terminal's Ctrl-C
// does not reach it. Only Linux also ends it when its parent is no more.
func Dependent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
