package link

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// boundSilence ends a connection on which what was sent is not acknowledged for
// as long as a silent one is borne. The kernel would try for a quarter of an hour.
func boundSilence(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	})
	return errors.Join(err, failed)
}
