package peer

import "syscall"

// Dependent is for a child process that its parent stops: a terminal's Ctrl-C
// does not reach it, and it ends when its parent is no more.
func Dependent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
