package raft

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBytes is how much of a stream in memory may be under way, in bytes: a
// writer waits for a reader that is behind by more.
const pipeBytes = 1 << 20

// lane is one direction of a stream in memory. Whoever waits on it waits in a
// way that fake time knows.
type lane struct {
	mu      sync.Mutex
	changed sync.Cond // anything below
	bytes   []byte    // written and not read
	from    int       // where in bytes the unread begins
	held    bool      // a partition: what was written arrives when it has healed
	ended   bool      // nobody writes any more
	left    bool      // nobody reads any more
	reset   bool      // one of the two ends died
	read    limit
	write   limit
}

// limit is a deadline, of readers or of writers.
type limit struct {
	timer *time.Timer
	at    time.Time
}

func (l *limit) over() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

func newLane() *lane {
	l := &lane{}
	l.changed.L = &l.mu
	return l
}

// change makes a change and tells all who wait.
func (l *lane) change(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	l.changed.Broadcast()
}

// set moves a deadline; the zero time means none.
func (l *lane) set(of *limit, at time.Time) {
	l.change(func() {
		of.at = at
		switch {
		case at.IsZero():
			if of.timer != nil {
				of.timer.Stop()
			}
		case of.timer == nil:
			of.timer = time.AfterFunc(time.Until(at), func() { l.change(func() {}) })
		default:
			of.timer.Reset(time.Until(at))
		}
	})
}

func (l *lane) take(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.left:
			return 0, net.ErrClosed
		case l.reset && !l.held:
			return 0, syscall.ECONNRESET
		case l.read.over():
			return 0, os.ErrDeadlineExceeded
		case !l.held && l.from < len(l.bytes):
			n := copy(b, l.bytes[l.from:])
			if l.from += n; l.from == len(l.bytes) {
				l.bytes, l.from = l.bytes[:0], 0
			}
			l.changed.Broadcast()
			return n, nil
		case !l.held && l.ended:
			return 0, io.EOF
		}
		l.changed.Wait()
	}
}

func (l *lane) put(b []byte) (written int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(b) > 0 {
		switch room := pipeBytes - (len(l.bytes) - l.from); {
		case l.ended:
			return written, net.ErrClosed
		case l.reset && !l.held:
			return written, syscall.ECONNRESET
		case l.left && !l.held:
			return written, syscall.EPIPE
		case l.write.over():
			return written, os.ErrDeadlineExceeded
		case room > 0:
			n := min(room, len(b))
			l.bytes = append(l.bytes, b[:n]...)
			b, written = b[n:], written+n
			l.changed.Broadcast()
		default:
			l.changed.Wait()
		}
	}
	return written, nil
}

// pipeEnd is one end of a stream in memory.
type pipeEnd struct {
	in, out      *lane
	here, there  pipeName
	closedBefore func() // called once, when this end is closed
	closing      sync.Once
}

// pipeName is the name of a peer as an address.
type pipeName string

// Network returns "memory".
func (n pipeName) Network() string { return "memory" }

func (n pipeName) String() string { return string(n) }

var _ net.Conn = (*pipeEnd)(nil)

// Read reads what the other end wrote.
func (p *pipeEnd) Read(b []byte) (int, error) { return p.in.take(b) }

// Write writes all of b, or says why not.
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.put(b) }

// Close ends both directions; what was written before is still read.
func (p *pipeEnd) Close() error {
	p.closing.Do(func() {
		p.end()
		p.closedBefore()
	})
	return nil
}

func (p *pipeEnd) end() {
	p.in.change(func() { p.in.left = true })
	p.out.change(func() { p.out.ended = true })
	p.in.set(&p.in.read, time.Time{})
	p.out.set(&p.out.write, time.Time{})
}

// die is what happens when the process of this end dies.
func (p *pipeEnd) die() {
	p.in.change(func() { p.in.reset = true })
	p.out.change(func() { p.out.reset = true })
}

// LocalAddr returns the name of the peer at this end.
func (p *pipeEnd) LocalAddr() net.Addr { return p.here }

// RemoteAddr returns the name of the peer at the other end.
func (p *pipeEnd) RemoteAddr() net.Addr { return p.there }

// SetDeadline sets both deadlines.
func (p *pipeEnd) SetDeadline(t time.Time) error {
	p.in.set(&p.in.read, t)
	p.out.set(&p.out.write, t)
	return nil
}

// SetReadDeadline has reads fail from t on.
func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.set(&p.in.read, t)
	return nil
}

// SetWriteDeadline has writes fail from t on.
func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.set(&p.out.write, t)
	return nil
}
