package ws

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"vera/ws/head"
)

const (
	// idleFor is how long a connection may wait for its next request.
	idleFor = 2 * time.Minute

	// writeBytes is written at once, and must be gone within Limits.Stuck.
	writeBytes = 64 << 10

	// lingerFor and lingerBytes bound what is still read from a client that was
	// refused, so that it sees the answer and not a reset.
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// refusedHead stands in for a head that was refused: net/http reads it, and the
// visit that comes of it answers with the refusal.
const refusedHead = "GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"

// phase is what a guard's reading means.
type phase = int32

const (
	collecting phase = iota // the next head
	serving                 // a visit is under way: what comes is kept for later
	served                  // the same, until net/http turns to the next request
)

// guard is a connection whose request heads are vetted before net/http reads
// them. net/http gets one head at a time, whole, and nothing else. While a visit
// is under way it reads on, as net/http does to see a client leave, and keeps
// what comes: the next requests, or the first frames.
type guard struct {
	net.Conn          // plain or TLS
	tcp      net.Conn // what is below
	site     *site    // where it came in
	crowded  error    // why it must be refused, if it must

	mu      sync.Mutex
	counted netip.Addr // for whom it is counted
	freed   bool       // closed, or handed over

	phase  atomic.Int32
	last   atomic.Bool   // the visit under way is the last of this connection
	broken chan struct{} // has one when the reading is broken off

	// Of the goroutine that reads, of which net/http has one at a time; during
	// a visit not changed but for buffer.
	accepted time.Time
	buffer   []byte // came and was not looked at
	out      []byte // the rest of a head for net/http
	raw      []byte // the head under way, as it came
	head     head.Head
	refusal  *head.Refusal
}

// Read gives net/http the next head.
func (g *guard) Read(p []byte) (int, error) {
	if g.phase.Load() != collecting {
		return 0, g.watch()
	}
	if len(g.out) == 0 {
		if err := g.collect(); err != nil {
			return 0, err
		}
		_ = g.Conn.SetReadDeadline(time.Time{})
	}
	n := copy(p, g.out)
	if g.out = g.out[n:]; len(g.out) == 0 {
		select {
		case <-g.broken: // of the visit before
		default:
		}
		g.phase.Store(serving)
	}
	return n, nil
}

// watch reads until the client leaves or net/http breaks the reading off. When
// much came already it only waits for the latter.
func (g *guard) watch() error {
	for len(g.buffer) < g.site.Limits.Head {
		if err := g.more(); err != nil {
			return err
		}
	}
	<-g.broken
	return os.ErrDeadlineExceeded
}

// more reads what comes.
func (g *guard) more() error {
	if cap(g.buffer)-len(g.buffer) < 512 {
		g.buffer = append(make([]byte, 0, 2*len(g.buffer)+2048), g.buffer...)
	}
	n, err := g.Conn.Read(g.buffer[len(g.buffer):cap(g.buffer)])
	g.buffer = g.buffer[:len(g.buffer)+n]
	if n > 0 {
		return nil
	}
	return err
}

// collect reads the next head and vets it. The error is io.EOF when the client
// is not worth an answer.
func (g *guard) collect() error {
	began := len(g.buffer) > 0 || !g.accepted.IsZero()
	if err := g.limitTime(began); err != nil {
		return err
	}
	for looked := 0; ; {
		for len(g.buffer) >= 2 && g.buffer[0] == '\r' && g.buffer[1] == '\n' {
			g.buffer, looked = g.buffer[2:], 0 // RFC 9112 section 2.2
		}
		if len(g.buffer) > 0 {
			if head.IsTLS(g.buffer) {
				return io.EOF
			}
			if g.found(looked) {
				return nil
			}
			looked = len(g.buffer)
			if !began {
				began = true
				if err := g.limitTime(true); err != nil {
					return err
				}
			}
		}
		if err := g.more(); err != nil {
			return io.EOF
		}
	}
}

// limitTime sets how long the next bytes may take: a head that began, or the
// first of a connection, less than one that is only hoped for.
func (g *guard) limitTime(began bool) error {
	until := time.Now().Add(idleFor)
	if began {
		until = time.Now().Add(g.site.Limits.HeadFor)
	}
	if !g.accepted.IsZero() {
		until, g.accepted = g.accepted.Add(g.site.Limits.HeadFor), time.Time{}
	}
	return g.Conn.SetReadDeadline(until)
}

// found says whether the buffer begins with a whole head, or with what will
// never be one.
func (g *guard) found(looked int) bool {
	n, refusal := head.End(g.buffer, min(looked, len(g.buffer)))
	if refusal == nil && n == 0 {
		if len(g.buffer) <= g.site.Limits.Head {
			return false
		}
		refusal = head.TooLong(&g.site.Limits)
	}
	if refusal == nil {
		g.raw = g.buffer[:n:n]
		g.buffer = g.buffer[n:]
		g.head, refusal = head.Check(g.raw, &g.site.Limits)
	}
	switch g.refusal = refusal; {
	case refusal != nil:
		g.out = []byte(refusedHead)
	case g.head.Body:
		g.out = head.WithoutBody(g.raw)
	default:
		g.out = g.raw
	}
	return true
}

// SetReadDeadline is how net/http breaks off the reading during a visit, and
// how it turns to the next request: it takes the deadline away before.
func (g *guard) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		g.phase.CompareAndSwap(served, collecting)
	} else {
		g.breakOff()
	}
	return g.Conn.SetReadDeadline(t)
}

func (g *guard) breakOff() {
	select {
	case g.broken <- struct{}{}:
	default:
	}
}

// Write fails when nothing goes for Limits.Stuck.
func (g *guard) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var wrote int
		piece := p[:min(len(p), writeBytes)]
		_ = g.Conn.SetWriteDeadline(time.Now().Add(g.site.Limits.Stuck))
		wrote, err = g.Conn.Write(piece)
		n, p = n+wrote, p[wrote:]
	}
	return n, err
}

// done ends a visit.
func (g *guard) done() { g.phase.Store(served) }

// Close closes the connection and counts it no more. A client that was refused
// while it was still sending is listened to a little longer.
func (g *guard) Close() error {
	counted, ok := g.free()
	if !ok {
		return nil
	}
	g.breakOff()
	if g.last.Load() && !g.site.closed() {
		g.linger()
	}
	err := g.Conn.Close()
	g.site.leave(counted)
	return err
}

// free says, once, that the connection is no longer the guard's, and for whom
// it is counted.
func (g *guard) free() (counted netip.Addr, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ok, g.freed = !g.freed, true
	return g.counted, ok
}

// countFor counts the connection for another address from now on.
func (g *guard) countFor(address netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.freed || g.site.admin || g.counted == address {
		return nil
	}
	from := g.counted
	g.counted = address
	if crowded := g.site.crowd.move(from, address); crowded != nil {
		return crowded
	}
	return nil
}

func (g *guard) linger() {
	half, ok := g.tcp.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || g.tcp.SetReadDeadline(time.Now().Add(lingerFor)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, g.tcp, lingerBytes)
}

// release hands the connection over to a socket: without the guard, with what
// came behind the head. From then on Close does nothing. It fails when the
// connection was closed before.
func (g *guard) release() (conn net.Conn, rest []byte, counted netip.Addr, ok bool) {
	if counted, ok = g.free(); !ok {
		return nil, nil, counted, false
	}
	_ = g.Conn.SetDeadline(time.Time{})
	conn, rest = g.Conn, g.buffer
	if a, proxied := conn.(*announced); proxied {
		conn, rest = a.TCPConn, append(rest, a.rest...)
	}
	return conn, rest, counted, true
}
