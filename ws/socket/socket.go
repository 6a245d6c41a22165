package socket

import (
	"sync"
	"sync/atomic"
	"time"

	"vera"
	"vera/ws/frame"
	"vera/ws/wheel"
)

// Socket is one WebSocket. It implements vera.Socket.
type Socket struct {
	group      *Group
	connection vera.Connection
	wire       wire
	gone       func()

	// Of the goroutine that reads.
	parser   frame.Parser
	window   time.Duration // a moment
	controls uint32        // control frames since window
	frame    uint32        // which frame began at frameSince
	deaf     bool          // what comes has no meaning any more

	over  bool  // of the clock: the socket is gone
	early uint8 // of the clock: see pingAfter

	out *outgoing // of the goroutine that writes; nil when all is written

	writing atomic.Int32 // idle, busy or again
	gate    atomic.Int32 // passing, asking or paused
	inside  rundown      // who is inside connection
	ending  atomic.Int32 // a vera.Ending; 0 while it lives

	// Moments of the group's clock; 0 is none.
	life         atomic.Int64 // when the last byte came
	frameSince   atomic.Int64 // when the frame began that is half done
	blockedSince atomic.Int64 // when a byte last went, of what does not go at once
	cutAt        atomic.Int64 // the end, once the closing has begun

	mu     sync.Mutex
	stage  stage
	heard  bool           // nothing more is expected from the client
	down   bool           // the wire was shut
	ping   bool           // to be sent
	code   vera.CloseCode // of the Close frame that is to be sent
	reason string
	pong   *pong // to be sent

	// Of the clock.
	heartbeat time.Duration
	pinged    time.Duration // when a ping was last sent; a moment
	entry     wheel.Entry[*Socket]
	due       atomic.Int64
}

// pong is the answer to a ping that came.
type pong struct {
	size    int
	payload [125]byte
}

// stage is how far the closing is.
type stage uint8

const (
	open  stage = iota
	asked       // a Close frame follows when Pull has no more
	last        // a Close frame follows at once
	sent        // a Close frame was handed to the wire, or nothing can be
)

// The states of writing.
const (
	idle  int32 = iota
	busy        // somebody writes
	again       // somebody writes, and must look once more
)

// The states of gate.
const (
	passing int32 = iota
	asking        // Receive is called
	paused        // Receive said no: the reader waits
)

// rundown counts who is inside, until it ends.
type rundown struct{ state atomic.Int32 }

const runDown = 1 << 30

// enter says whether one may go inside. If so one must leave.
func (r *rundown) enter() bool {
	for {
		n := r.state.Load()
		if n >= runDown {
			return false
		}
		if r.state.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave says whether all is over and nobody else is inside.
func (r *rundown) leave() bool { return r.state.Add(-1) == runDown }

// end lets nobody in any more, and says whether nobody is inside. It must be
// called once.
func (r *rundown) end() bool { return r.state.Or(runDown) == 0 }

// end tells the connection how it ended, as soon as nobody is inside. The
// first that calls it decides.
func (s *Socket) end(how vera.Ending) {
	if !s.ending.CompareAndSwap(0, int32(how)) {
		return
	}
	if s.inside.end() {
		s.connection.Closed(how)
	}
	s.Resume() // from here on what comes is only thrown away
}

func (s *Socket) leave() {
	if s.inside.leave() {
		s.connection.Closed(vera.Ending(s.ending.Load()))
	}
}

// Close writes what Pull still has, then a Close frame, and ends the
// connection, at the latest two seconds later. The first Close counts.
func (s *Socket) Close(code vera.CloseCode, reason string) { s.close(asked, code, reason, false) }

// close begins the closing, or makes it more urgent. With heard nothing more is
// expected from the client.
func (s *Socket) close(how stage, code vera.CloseCode, reason string, heard bool) {
	s.mu.Lock()
	if s.stage < how {
		s.stage, s.code, s.reason = how, code, reason
	}
	s.heard = s.heard || heard
	s.mu.Unlock()
	s.cutSoon()
	s.Wake()
}

// cutSoon sets the end, if there is none yet.
func (s *Socket) cutSoon() {
	cut := s.group.clock.now() + closeWithin
	if s.cutAt.CompareAndSwap(0, int64(cut)) {
		s.group.clock.sooner(s, cut)
	}
}

// lost is how the connection ends when it just breaks off.
func (s *Socket) lost() vera.Ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage == asked {
		return sentAway(s.code)
	}
	return vera.EndedLost
}

// sentAway is how a connection ends that we close with code.
func sentAway(code vera.CloseCode) vera.Ending {
	if code == vera.CloseGoingAway || code == vera.CloseTryLater {
		return vera.EndedByServer
	}
	return vera.EndedLost
}

// finish is called by the back end, once, when nothing can come any more.
func (s *Socket) finish() {
	s.wire.cut()
	s.end(s.lost())
	s.mu.Lock()
	code := s.code
	if s.stage == open {
		code = CloseLost
	}
	s.stage = sent
	s.mu.Unlock()
	if code == vera.CloseNone {
		code = vera.CloseEmpty
	}
	s.group.remove(s)
	s.group.Ended(code)
	s.gone()
}
