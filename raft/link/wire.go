package link

import (
	"net"
	"syscall"
	"time"
)

// wire is a TCP connection, in or out, from when it is made until it is closed:
// what Cut and Close find. TLS runs on it.
type wire struct {
	net.Conn
	link *Link
	came bool // in

	exporter []byte // of its TLS connection, once there was a request; of the one who serves it

	// Under Link.mu.
	stage stage
	key   string // the member that it is with; "" when it is with none, or not known
	since time.Time
	limit *time.Timer // ends a stranger's time
}

// stage is how far a connection that came in has got.
type stage int

const (
	unknown stage = iota // nothing is proven: it is short-lived, and one of few
	guest                // its call proved the secret and is answered now
	member               // it is a member's, or was
)

// findSilence has the kernel end a connection to a peer that is gone without a
// word, whether or not something was sent to it.
func findSilence(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return // a test's
	}
	// Neither fails on a connection that is open; one that is not tells by itself.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: silence / 10, Count: 5})
	_ = boundSilence(tcp)
}

// welcome keeps a connection that came in, or closes it and returns nil when
// there are too many. A stranger makes room for the next.
func (l *Link) welcome(c net.Conn) *wire {
	findSilence(c)
	w := &wire{Conn: c, link: l, came: true, since: time.Now()}
	l.mu.Lock()
	var oldest *wire
	if l.strangers >= maxStrangers || l.in >= maxWires {
		for other := range l.wires {
			if other.came && other.stage == unknown && (oldest == nil || other.since.Before(oldest.since)) {
				oldest = other
			}
		}
	}
	full := l.closed || (oldest == nil && l.in >= maxWires)
	if !full {
		l.wires[w] = struct{}{}
		l.in++
		l.strangers++
		w.limit = time.AfterFunc(l.limits.stranger, w.expire)
	}
	l.mu.Unlock()
	if oldest != nil {
		l.metrics.refused("crowded")
		_ = oldest.Close()
	}
	if full {
		l.metrics.refused("crowded")
		_ = c.Close()
		return nil
	}
	return w
}

// expire closes a connection that is still a stranger's.
func (w *wire) expire() {
	w.link.mu.Lock()
	late := w.stage == unknown
	w.link.mu.Unlock()
	if late {
		w.link.metrics.refused("late")
		_ = w.Close()
	}
}

// leave keeps a connection that goes out.
func (l *Link) leave(c net.Conn) (*wire, error) {
	w := &wire{Conn: c, link: l, since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return nil, ErrClosed
	}
	l.wires[w] = struct{}{}
	return w, nil
}

// admit makes the connection a member's, if the key is one's. From before it
// asks, Cut finds the connection.
func (w *wire) admit(key string) bool {
	l := w.link
	l.mu.Lock()
	before := w.key
	w.key = key
	l.mu.Unlock()
	trusted := l.o.Trusted(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !trusted {
		w.key = before
		return false
	}
	w.rise(member)
	return true
}

// host makes a stranger's connection a guest's, for one call.
func (w *wire) host() {
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	w.rise(guest)
}

// rise is called under Link.mu.
func (w *wire) rise(to stage) {
	if w.stage == unknown && w.came {
		if _, open := w.link.wires[w]; open {
			w.link.strangers--
		}
		w.limit.Stop()
	}
	w.stage = max(w.stage, to)
}

// Close ends the connection at once. It may be called again.
func (w *wire) Close() error {
	l := w.link
	l.mu.Lock()
	if _, open := l.wires[w]; open {
		delete(l.wires, w)
		if w.came {
			l.in--
			w.limit.Stop()
			if w.stage == unknown {
				l.strangers--
			}
		}
	}
	l.mu.Unlock()
	return w.Conn.Close()
}

// quiet says whether an idle connection is still open, and nothing came by it:
// what a process that ended leaves behind is found before a call is lost on it.
func (w *wire) quiet() bool {
	c, ok := w.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, peeked = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && peeked == syscall.EAGAIN
}
