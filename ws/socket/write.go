package socket

import "vera/ws/frame"

const (
	pullBytes   = 32 << 10 // asked of Pull at once
	bufferBytes = 48 << 10 // of frames in one write, and kept for the next
	bigBytes    = 16 << 10 // a payload beyond this is written from where it is, not copied
	maxRounds   = 4        // pulls on a waker's goroutine before another one goes on
)

// outgoing is what was pulled and is not written yet: first buffer, then big,
// then the rest of batch.
type outgoing struct {
	buffer []byte // whole frames, but for the payload in big
	wrote  int    // bytes of buffer
	big    []byte // what is left of a payload that is not copied
	batch  [][]byte
	next   int // the first message of batch that is not in buffer or big
	job    job
}

// job is a write that is under way.
type job struct {
	bytes []byte
	wait  bool
	went  int
	err   error
}

// head returns the bytes that come next.
func (o *outgoing) head() []byte {
	if o.wrote < len(o.buffer) {
		return o.buffer[o.wrote:]
	}
	return o.big
}

// skip forgets the first n bytes of head.
func (o *outgoing) skip(n int) {
	if o.wrote < len(o.buffer) {
		o.wrote += n
	} else {
		o.big = o.big[n:]
	}
}

// encode moves messages from batch to buffer and big, as many as fit.
func (o *outgoing) encode() {
	for o.next < len(o.batch) && len(o.big) == 0 {
		message := o.batch[o.next]
		small := len(message) <= bigBytes
		if small && len(o.buffer) > 0 && len(o.buffer)+frame.MaxHeader+len(message) > bufferBytes {
			return
		}
		o.buffer = frame.AppendHeader(o.buffer, frame.OpText, len(message))
		if small {
			o.buffer = append(o.buffer, message...)
		} else {
			o.big = message
		}
		o.next++
	}
}

// empty forgets everything but the memory.
func (o *outgoing) empty() {
	clear(o.batch)
	o.buffer, o.wrote, o.big, o.batch, o.next = o.buffer[:0], 0, nil, o.batch[:0], 0
	if cap(o.buffer) > bufferBytes+frame.MaxHeader {
		o.buffer = nil
	}
}

// Wake says that there is something to write. It tries at once, without
// blocking.
func (s *Socket) Wake() {
	for {
		switch s.writing.Load() {
		case idle:
			if s.writing.CompareAndSwap(idle, busy) {
				s.flush(false)
				return
			}
		case busy:
			if s.writing.CompareAndSwap(busy, again) {
				return
			}
		default:
			return
		}
	}
}

// flush writes until nothing is left, or hands over to the wire what does not
// go at once. Only who made writing busy calls it, and with that is the one
// that writes.
func (s *Socket) flush(wait bool) {
	for rounds := 1; ; rounds++ {
		if s.out != nil && !s.push(wait) {
			return
		}
		if s.fill() {
			if rounds > maxRounds && !wait {
				s.wire.later()
				return
			}
			continue
		}
		s.group.outs.Put(s.out)
		s.out = nil
		s.hangUp()
		if s.writing.CompareAndSwap(busy, idle) {
			return
		}
		s.writing.Store(busy)
	}
}

// push writes what is in out and says whether all of it went. If not, flush is
// called later, or never when the connection is broken.
func (s *Socket) push(wait bool) bool {
	for {
		head := s.out.head()
		if len(head) == 0 {
			s.blockedSince.Store(0)
			return true
		}
		if wait && s.blockedSince.Load() == 0 {
			s.blocked()
		}
		n, err := s.wire.write(head, wait)
		s.out.skip(n)
		switch {
		case err != nil:
			s.breakOff()
			return false
		case n < len(head) && !wait:
			s.blocked()
			s.wire.later()
			return false
		case n < len(head):
			s.blocked()
		}
	}
}

// blocked notes that a byte went now and the next one does not at once.
func (s *Socket) blocked() {
	now := s.group.clock.now()
	s.blockedSince.Store(int64(now))
	s.group.clock.sooner(s, now+s.group.Limits.Stuck)
}

// breakOff is for when nothing can be written any more. Writing stays busy for
// ever. The reader is left a while to find what came before, a Close frame
// perhaps.
func (s *Socket) breakOff() {
	s.mu.Lock()
	if s.stage == open {
		s.stage, s.code = sent, CloseLost
	}
	s.stage = sent
	s.mu.Unlock()
	s.blockedSince.Store(0)
	s.cutSoon()
}

// fill puts into out what is to be written next, and says whether there is
// anything. All of out is written.
func (s *Socket) fill() bool {
	if s.out == nil {
		s.out = s.group.outs.Get().(*outgoing)
	}
	o := s.out
	o.buffer, o.wrote = o.buffer[:0], 0
	stage := s.control(o)
	if stage < last {
		if o.next == len(o.batch) {
			s.pull(o)
		}
		o.encode()
	}
	if len(o.buffer) > 0 {
		return true
	}
	o.empty()
	if stage == open || stage == sent {
		return false
	}
	s.sayClose(o)
	return true
}

// pull asks the connection for messages.
func (s *Socket) pull(o *outgoing) {
	clear(o.batch)
	o.batch, o.next = o.batch[:0], 0
	if s.inside.enter() {
		o.batch = s.connection.Pull(o.batch, pullBytes)
		s.leave()
	}
}

// control puts the control frames that are due into o, and returns the stage.
func (s *Socket) control(o *outgoing) stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage < last {
		if s.pong != nil {
			o.buffer = frame.Append(o.buffer, frame.OpPong, s.pong.payload[:s.pong.size])
		}
		if s.ping {
			o.buffer = frame.AppendHeader(o.buffer, frame.OpPing, 0)
		}
	}
	s.ping, s.pong = false, nil
	return s.stage
}

// sayClose puts the Close frame into o. From here on the closing is ours.
func (s *Socket) sayClose(o *outgoing) {
	s.mu.Lock()
	s.stage = sent
	code := s.code
	o.buffer = frame.AppendClose(o.buffer, code, s.reason)
	s.mu.Unlock()
	s.end(sentAway(code))
}

// hangUp ends our side when both Close frames are through, RFC 6455 section
// 7.1.1: it is the server that goes first.
func (s *Socket) hangUp() {
	s.mu.Lock()
	due := s.stage == sent && s.heard && !s.down
	s.down = s.down || due
	s.mu.Unlock()
	if due {
		s.wire.shut()
	}
}
