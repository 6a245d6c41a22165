package main

import "syscall"

// dependent keeps a terminal's Ctrl-C from a child, which its parent stops, and
// has the kernel end it when its parent is no more.
func dependent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
