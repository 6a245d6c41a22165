package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"vera"
	"vera/test/history"
)

// wire is one connection of a guest to a peer, with the socket at its end.
type wire struct {
	name  string
	place int // among its guest's
	guest *guest
	peer  *peer
	pause *rand.Rand // the writer's

	// The guest's, under its lock.
	life   *history.Life       // in which it was let in; nil: nobody has said yet
	link   *history.Connection // likewise
	closes bool                // it asked for the session's end

	ready chan struct{} // closed when there is a connection
	wake  chan struct{}
	ends  chan end
	over  chan struct{} // closed when the guest is told nothing more

	mu     sync.Mutex
	conn   vera.Connection
	closed bool // nothing is received any more
}

// end is how a connection ends.
type end struct {
	how   vera.Ending
	after time.Duration // until the server knows
	code  vera.CloseCode
}

// Wake has the writer look.
func (w *wire) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Resume does nothing: a guest has few requests under way.
func (w *wire) Resume() {}

// Close ends the connection from the server's side.
func (w *wire) Close(code vera.CloseCode, _ string) {
	how := vera.EndedLost
	if code == vera.CloseGoingAway || code == vera.CloseTryLater {
		how = vera.EndedByServer
	}
	w.end(end{how: how, code: code})
}

// end ends the connection, unless somebody else did.
func (w *wire) end(e end) {
	select {
	case w.ends <- e:
	default:
	}
}

// dial connects a guest to a peer. It returns nil when that fails.
func dial(g *guest, p *peer, hello vera.Hello, name string, place int, pause *rand.Rand) *wire {
	w := &wire{
		name: name, place: place, guest: g, peer: p, pause: pause,
		ready: make(chan struct{}), wake: make(chan struct{}, 1), ends: make(chan end, 1), over: make(chan struct{}),
	}
	conn, err := p.system.Connect(context.Background(), hello, w)
	if err != nil {
		return nil
	}
	w.conn = conn
	g.c.jobs.Go(w.write)
	return w
}

// write is the goroutine that pulls what the guest is told, and in the end says
// that the socket is gone.
func (w *wire) write() {
	<-w.ready // its guest knows of it
	for {
		select {
		case e := <-w.ends:
			w.finish(e)
			return
		case <-w.peer.gone:
			w.finish(end{how: vera.EndedLost})
			return
		case <-w.wake:
		}
		w.wait(time.Duration(w.pause.IntN(4)) * time.Millisecond)
		w.peer.thaw()
		w.pull()
	}
}

func (w *wire) wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// pull takes all that is to be told.
func (w *wire) pull() {
	for {
		batch := w.conn.Pull(nil, 4<<10)
		if len(batch) == 0 {
			return
		}
		for _, message := range batch {
			w.guest.take(w, message)
		}
	}
}

// finish ends the connection: what was on its way is told when the server
// closes, and lost otherwise.
func (w *wire) finish(e end) {
	if e.code != 0 {
		w.pull()
	}
	w.guest.lost(w, e)
	close(w.over)
	w.wait(e.after)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.conn.Closed(e.how)
}

// send gives the server a message, unless the connection is gone by then.
func (w *wire) send(message []byte) {
	w.peer.thaw()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.conn.Receive(message)
	}
}

// freeze stops what a peer's sockets do, or lets them go on.
func (p *peer) freeze(stop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case stop && p.frozen == nil:
		p.frozen = make(chan struct{})
	case !stop && p.frozen != nil:
		close(p.frozen)
		p.frozen = nil
	}
}

// thaw waits until a peer is not stopped.
func (p *peer) thaw() {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	if frozen == nil {
		return
	}
	select {
	case <-frozen:
	case <-p.gone:
	}
}
