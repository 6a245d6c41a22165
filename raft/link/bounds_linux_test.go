package link

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSilenceIsBoundedOnBothSides(t *testing.T) {
	a, b := two(t)
	out, in := opened(t, a, b)
	defer out.Close()
	defer in.Close()
	for _, c := range []net.Conn{out, in} {
		raw, err := c.(*stream).NetConn().(*wire).Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			idle, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			interval, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			count, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
			unanswered, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			if idle+count*interval > 20 || idle == 0 || unanswered != 20_000 {
				t.Errorf("a silent peer is found after %d s, one that acknowledges nothing after %d ms", idle+count*interval, unanswered)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
