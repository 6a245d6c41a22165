package actors

import (
	"bytes"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"vera"
)

// outbox is what is to be told to one client, not encoded yet: answers in
// their order, and watches that were marked. It is encoded when the socket has
// room, from the lists as they are then. So it is bounded, by the requests
// under way and the watches, and nothing older can follow anything newer: the
// lock is held from the look at a list until its place in the stream is taken.
type outbox struct {
	marked atomic.Pointer[lookout] // a stack; any goroutine adds, under no lock

	mu          sync.Mutex
	first, last *call    // answered
	turn        *lookout // taken from marked, the oldest first
	told        uint64   // the highest index told
	tell        bool     // the doubt is to be told
	suspended   bool     // what was told last of it, or will be
}

// add takes a call that can be answered.
func (o *outbox) add(m *call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == nil {
		o.first = m
	} else {
		o.last.after = m
	}
	o.last = m
}

// pop returns the oldest answered call.
func (o *outbox) pop() *call {
	m := o.first
	if m != nil {
		o.first, m.after = m.after, nil
		if o.first == nil {
			o.last = nil
		}
	}
	return m
}

// mark takes a lookout that has something to tell and is not in here.
func (o *outbox) mark(s *lookout) {
	for {
		s.next = o.marked.Load()
		if o.marked.CompareAndSwap(s.next, s) {
			return
		}
	}
}

// popMarked returns the lookout that was marked first.
func (o *outbox) popMarked() *lookout {
	if o.turn == nil {
		for s := o.marked.Swap(nil); s != nil; {
			s.next, o.turn, s = o.turn, s, s.next
		}
	}
	s := o.turn
	if s != nil {
		o.turn, s.next = s.next, nil
	}
	return s
}

// begin has a lookout told, by a reset at first.
func (o *outbox) begin(s *lookout) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.begun = true
}

// end has a lookout told no more.
func (o *outbox) end(s *lookout) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.over, s.told = true, nil
}

// doubt has the client told that the majority is out of touch, or back if it
// was told the other.
func (o *outbox) doubt(suspended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.suspended != suspended {
		o.suspended, o.tell = suspended, !o.tell
	}
}

// waiting is how many answers nobody has taken yet.
func (o *outbox) waiting() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for m := o.first; m != nil; m = m.after {
		n++
	}
	return n
}

// scratch is memory in which a message is encoded before its size is known.
type scratch struct{ buffer []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// largeMessage is the size from which a message is handed on in the memory in
// which it was encoded: copying would cost more than what the copy saves.
const largeMessage = 32 << 10

// encoded returns what encode appends, in memory of about its size.
func encoded(encode func(dst []byte) []byte) []byte {
	s := scratches.Get().(*scratch)
	text := encode(s.buffer[:0])
	if cap(text) > largeMessage {
		s.buffer = nil
	} else {
		s.buffer = text[:0]
	}
	if len(text) < cap(text)/2 || s.buffer != nil {
		text = bytes.Clone(text)
	}
	scratches.Put(s)
	return text
}

// Pull appends what the client is to be told now: answers, then the doubt,
// then what changed on lists that it watches.
func (e *entrance) Pull(batch [][]byte, max int) [][]byte {
	c := (*connection)(e)
	if c.broken.Load() {
		return batch
	}
	p := pull{c: c, batch: batch, room: max}
	defer p.end()
	p.run()
	return p.batch
}

// pull is one call of Pull.
type pull struct {
	c           *connection
	batch       [][]byte
	room        int           // bytes that may be added; at least one message is
	count, size int           // calls that were answered, and the bytes that they brought
	clock       time.Duration // when it was looked at; 0: not yet
	done        bool
}

// now looks at the clock once, and not at all when there is nothing to tell.
func (p *pull) now() time.Duration {
	if p.clock == 0 {
		p.clock = p.c.system.now()
	}
	return p.clock
}

func (p *pull) run() {
	o := &p.c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for m := o.first; m != nil && p.room > 0; m = o.first {
		p.add(p.c.tell(m, p.now()))
		o.pop()
		p.count++
		p.size += m.size
	}
	if o.tell && p.room > 0 {
		o.tell = false
		p.add(encoded(func(dst []byte) []byte {
			return vera.AppendState(dst, o.suspended, p.c.safe(p.now()))
		}))
	}
	for p.room > 0 {
		s := o.popMarked()
		if s == nil {
			break
		}
		if text, index := s.news(p.c.system, o.told); text != nil {
			p.c.system.meters.notified(time.Duration(s.class.since.Load()), p.now())
			o.told = max(o.told, index)
			p.add(text)
		}
	}
	p.done = true
}

func (p *pull) add(text []byte) {
	p.batch = append(p.batch, text)
	p.room -= len(text)
}

// end lets the socket be read again, without the lock. It also keeps a panic
// from whoever called Pull: the connection's actor fails instead.
func (p *pull) end() {
	if !p.done {
		p.c.broken.Store(true)
		p.c.box.post(&broke{reason: recover(), stack: debug.Stack()})
		return
	}
	if p.count > 0 && p.c.valve.release(p.count, p.size, &p.c.system.limits) {
		p.c.socket.Resume()
	}
}
