package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much the kernel takes ahead of what it has sent. Without a
// bound it takes megabytes for a client that does not read, and what lies there
// can no longer be merged.
const unsentBytes = 128 << 10

func boundUnsent(control syscall.RawConn) {
	_ = control.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}
