package socket

import (
	"fmt"
	"time"

	"vera"
)

// judge is called by the clock when the socket is due: it pings the silent,
// drops the lost and the stuck, and returns when to look again.
func (s *Socket) judge(now time.Duration) time.Duration {
	if cut := time.Duration(s.cutAt.Load()); cut != 0 {
		if now < cut {
			return cut
		}
		s.end(s.lost())
		s.wire.cut()
		return never
	}
	next := min(s.judgeFrame(now), s.judgeWriting(now), s.judgeSilence(now))
	if cut := time.Duration(s.cutAt.Load()); cut != 0 {
		return cut
	}
	return next
}

// judgeFrame looks whether a frame took too long.
func (s *Socket) judgeFrame(now time.Duration) time.Duration {
	since := time.Duration(s.frameSince.Load())
	if since == 0 || s.gate.Load() == paused {
		return never
	}
	due := since + s.group.Limits.RestFor
	if now < due {
		return due
	}
	if s.wire.held() {
		return now + tick
	}
	s.end(vera.EndedLost)
	s.close(last, vera.ClosePolicy, fmt.Sprintf("the rest of a frame did not come within %v", s.group.Limits.RestFor), true)
	return never
}

// judgeWriting looks whether the client takes nothing any more.
func (s *Socket) judgeWriting(now time.Duration) time.Duration {
	since := time.Duration(s.blockedSince.Load())
	if since == 0 {
		return never
	}
	due := since + s.group.Limits.Stuck
	if now < due {
		return due
	}
	s.end(vera.EndedLost)
	s.close(last, vera.CloseTooSlow, fmt.Sprintf("nothing could be written for %v", s.group.Limits.Stuck), true)
	return never
}

// judgeSilence looks when the last byte came. A client that we do not listen
// to is not silent. One that is silent is lost only after it had the time to
// answer a ping, also when we were late with that.
func (s *Socket) judgeSilence(now time.Duration) time.Duration {
	life := s.life.Load()
	if s.gate.Load() == paused || time.Duration(life) > now+stalled {
		s.life.CompareAndSwap(life, int64(now))
		return now + s.pingAfter()
	}
	if due := time.Duration(life) + s.pingAfter(); now < due {
		return due
	}
	if s.pinged <= time.Duration(life) {
		s.pinged = now
		s.mu.Lock()
		s.ping = true
		s.mu.Unlock()
		s.Wake()
	}
	due := max(time.Duration(life)+2*s.heartbeat, s.pinged+s.heartbeat*7/8)
	switch {
	case now < due:
		return due
	case s.wire.held():
		s.life.CompareAndSwap(life, int64(now))
		return now + s.pingAfter()
	}
	s.end(s.lost())
	s.wire.cut()
	return never
}

// pingAfter is how long a client may be silent before it is pinged: up to an
// eighth less than a heartbeat, so that pings spread.
func (s *Socket) pingAfter() time.Duration {
	return s.heartbeat - s.heartbeat/8*time.Duration(s.early)/256
}
