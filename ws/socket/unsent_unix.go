//go:build unix && !linux

package socket

import "syscall"

// boundUnsent does nothing: the kernel's own bound on what it takes must do.
func boundUnsent(syscall.RawConn) {}
