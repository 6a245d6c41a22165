package socket

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"vera"
)

// Options is what all sockets of a group share.
type Options struct {
	Limits  *vera.Limits
	Backend Backend
	// Ended is told of each socket that is gone and of the code with which it
	// was closed: 1005 for a Close frame without one, 1006 for none at all.
	Ended func(code vera.CloseCode)
}

// CloseLost stands for the close code of a connection that ended without a
// Close frame. It is never on the wire.
const CloseLost vera.CloseCode = 1006

// Group is a set of sockets with one clock and one back end.
type Group struct {
	Options
	clock   *clock
	buffers sync.Pool // of *[readBytes]byte
	outs    sync.Pool // of *outgoing

	mu      sync.Mutex
	idle    sync.Cond // running and live are 0
	live    map[*Socket]struct{}
	running int // goroutines
	closed  bool

	made atomic.Uint64 // sockets
}

// New returns an empty group. It must be closed.
func New(o Options) *Group {
	if o.Ended == nil {
		o.Ended = func(vera.CloseCode) {}
	}
	g := &Group{Options: o, clock: newClock(), live: map[*Socket]struct{}{}}
	g.idle.L = &g.mu
	g.buffers.New = func() any { return new([readBytes]byte) }
	g.outs.New = func() any { return new(outgoing) }
	g.spawn(g.clock.run)
	return g
}

// spawn starts a goroutine that Close waits for.
func (g *Group) spawn(f func()) {
	g.mu.Lock()
	g.running++
	g.mu.Unlock()
	go func() {
		defer g.done()
		f()
	}()
}

func (g *Group) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 {
		g.idle.Broadcast()
	}
}

// Len returns the number of sockets that were started and are not gone.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.live)
}

// Socket returns a socket that is not started. Until it is, wakes are only
// remembered. One that is never started needs no ending.
func (g *Group) Socket(heartbeat time.Duration) *Socket {
	s := &Socket{group: g, heartbeat: heartbeat}
	s.entry.Value = s
	s.due.Store(int64(never))
	s.writing.Store(busy)
	s.early = spread(g.made.Add(1))
	return s
}

// spread gives the nth socket a place from 0 to 255, such that the places of
// any that follow one another lie far apart: multiples of the golden ratio.
func spread(n uint64) uint8 {
	const golden = 0x9e3779b97f4a7c15
	return uint8(n * golden >> 56)
}

// Start gives the socket its connection, on both sides. first is written before
// all else; rest are bytes that were read already. conn belongs to the socket
// from then on, c is told Closed in any case, and gone is called when the
// descriptor is free again.
func (s *Socket) Start(c vera.Connection, conn net.Conn, first, rest []byte, gone func()) {
	g := s.group
	s.connection, s.gone, s.wire = c, gone, g.Backend.carry(s, conn)
	g.mu.Lock()
	closed := g.closed
	if !closed {
		g.live[s] = struct{}{}
	}
	g.mu.Unlock()
	if closed {
		s.wire.cut()
		s.end(vera.EndedLost)
		gone()
		return
	}
	now := g.clock.now()
	s.life.Store(int64(now))
	s.out = g.outs.Get().(*outgoing)
	s.out.buffer = append(s.out.buffer, first...)
	g.clock.add(s, now+s.pingAfter())
	s.flush(false)
	s.wire.read(rest)
}

// remove forgets a socket that is gone.
func (g *Group) remove(s *Socket) {
	g.clock.remove(s)
	g.mu.Lock()
	delete(g.live, s)
	if len(g.live) == 0 {
		g.idle.Broadcast()
	}
	g.mu.Unlock()
}

// sockets returns those that live now.
func (g *Group) sockets() []*Socket {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*Socket, 0, len(g.live))
	for s := range g.live {
		all = append(all, s)
	}
	return all
}

// Drain sends all sockets away, the first at once and the others evenly over
// the given time, and returns when they are gone or ctx is done. Sockets that are started meanwhile are sent
// away at the end.
func (g *Group) Drain(ctx context.Context, over time.Duration, code vera.CloseCode, reason string) {
	started := time.Now()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	waiting, sent := g.sockets(), 0
	for {
		share := 1.0
		if elapsed := time.Since(started); elapsed < over {
			share = float64(elapsed) / float64(over)
		}
		for ; sent < len(waiting) && float64(sent) <= share*float64(len(waiting)); sent++ {
			waiting[sent].Close(code, reason)
		}
		if g.Len() == 0 {
			return
		}
		if share == 1 {
			waiting, sent = g.sockets(), 0
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Close cuts all sockets off and waits until their connections were told and
// all goroutines are gone. It may be called again.
func (g *Group) Close() {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	for _, s := range g.sockets() {
		s.end(vera.EndedLost)
		s.wire.cut()
	}
	if first {
		g.clock.close()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.running > 0 || len(g.live) > 0 {
		g.idle.Wait()
	}
}
