package socket

import (
	"errors"
	"fmt"
	"time"

	"vera"
	"vera/ws/frame"
)

// maxControls is how many pings and pongs a client may send in a second.
const maxControls = 1000

// between says that no frame is half done, so that the next byte is the first
// of a frame, or that bytes have no meaning any more. Only the goroutine that
// reads may call it.
func (s *Socket) between() bool { return s.deaf || s.parser.Between() }

// arrived takes bytes that came, and changes them. When it does not take all,
// reading must wait until it is resumed, and go on with the rest, which may be
// empty.
func (s *Socket) arrived(came []byte) (rest []byte, all bool) {
	s.life.Store(int64(s.group.clock.now()))
	for !s.deaf {
		var e frame.Event
		var err error
		if came, e, err = s.parser.Next(came, s.group.Limits.Message); err != nil {
			s.fail(err)
			break
		}
		if e.Kind == frame.None {
			break
		}
		if !s.handle(e) {
			s.frameSince.Store(0)
			return came, false
		}
	}
	s.halfDone()
	return nil, true
}

// handle says whether reading may go on.
func (s *Socket) handle(e frame.Event) bool {
	switch e.Kind {
	case frame.Text:
		return s.receive(e.Payload)
	case frame.Close:
		s.hearClose(e.Code)
	case frame.Ping, frame.Pong:
		if s.flooded() {
			s.fail(&frame.Error{Code: vera.ClosePolicy, Reason: fmt.Sprintf("more than %d pings and pongs in a second", maxControls)})
		} else if e.Kind == frame.Ping {
			s.answer(e.Payload)
		}
	}
	return true
}

// receive hands a message over. False: the reader must wait for Resume.
func (s *Socket) receive(message []byte) bool {
	if !s.inside.enter() {
		return true
	}
	s.gate.Store(asking)
	more := s.connection.Receive(message)
	s.leave()
	if more {
		s.gate.Store(passing)
		return true
	}
	return !s.gate.CompareAndSwap(asking, paused) // false also when Resume was here first
}

// Resume says that Receive may be called again.
func (s *Socket) Resume() {
	if s.gate.Swap(passing) == paused {
		s.wire.resume()
	}
}

// answer makes the next pong carry payload. Of many pings only the last is
// answered, RFC 6455 section 5.5.3.
func (s *Socket) answer(payload []byte) {
	s.mu.Lock()
	if s.pong == nil {
		s.pong = new(pong)
	}
	s.pong.size = copy(s.pong.payload[:], payload)
	s.mu.Unlock()
	s.Wake()
}

func (s *Socket) flooded() bool {
	if now := s.group.clock.now(); now-s.window >= time.Second {
		s.window, s.controls = now, 0
	}
	s.controls++
	return s.controls > maxControls
}

// hearClose takes the client's Close frame. If ours was sent before, that one
// has decided how the connection ended, and this is the answer to it.
func (s *Socket) hearClose(code vera.CloseCode) {
	s.deaf = true
	s.mu.Lock()
	if s.code == CloseLost { // our side broke before we came to read this
		s.code = code
	}
	s.mu.Unlock()
	if code == vera.CloseDone || code == vera.CloseEmpty {
		s.end(vera.EndedClean)
	} else {
		s.end(vera.EndedLost)
	}
	s.close(last, code, "", true)
}

// fail ends the connection for what the client did.
func (s *Socket) fail(err error) {
	s.deaf = true
	failed, ok := errors.AsType[*frame.Error](err)
	if !ok {
		panic("a frame parser fails with a frame error only: " + err.Error())
	}
	s.end(vera.EndedLost)
	s.close(last, failed.Code, failed.Reason, true)
}

// halfDone notes since when a frame is half done, if one is.
func (s *Socket) halfDone() {
	if s.between() {
		s.frameSince.Store(0)
		return
	}
	if n := s.parser.Frames(); n != s.frame || s.frameSince.Load() == 0 {
		s.frame = n
		now := s.group.clock.now()
		s.frameSince.Store(int64(now))
		s.group.clock.sooner(s, now+s.group.Limits.RestFor)
	}
}
