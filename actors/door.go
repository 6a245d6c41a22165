package actors

import (
	"slices"

	"vera"
)

// arrive takes a connection to the door.
func (s *session) arrive(m *arrival) {
	s.meet(m)
	limits := &s.system.limits
	if len(s.connections)+len(s.arrivals) >= limits.SessionConnections {
		m.admitted <- vera.Errorf(vera.TooManyRequests, "connect: the session has %d connections here; the limit is %d", limits.SessionConnections, limits.SessionConnections)
		s.turn()
		return
	}
	m.sure = !m.connection.hello.Offered
	s.arrivals = append(s.arrivals, m)
	s.grace.Store(max(s.grace.Load(), int64(m.connection.hello.Grace)))
	s.turn()
}

// meet counts an arrival, once.
func (s *session) meet(m *arrival) {
	if !m.met {
		m.met = true
		s.met++
	}
}

// admit lets in who waits at the door, and begins for them what the session
// watches.
func (s *session) admit() {
	arrivals := s.arrivals
	s.arrivals = nil
	s.promise()
	for _, a := range arrivals {
		c := a.connection
		c.resumed = s.life != 0 || len(s.connections) > 0
		if c.hello.Offered {
			c.arrived = s.system.log.Machine().Applied() // by now behind a barrier
		}
		s.connections = append(s.connections, c)
		a.admitted <- nil
		for i := range s.watches {
			s.begin(c, s.watches[i].Watched, nil)
		}
	}
	s.worry()
}

// depart takes note of a connection that is gone.
func (s *session) depart(m *departure) {
	s.arrivals = slices.DeleteFunc(s.arrivals, func(a *arrival) bool { return a.connection == m.connection })
	i := slices.Index(s.connections, m.connection)
	if i >= 0 {
		s.connections = slices.Delete(s.connections, i, i+1)
		grace := s.wanted()
		if m.how == vera.EndedByServer {
			grace = max(grace, s.system.limits.FailoverGrace)
		}
		s.left(m.how == vera.EndedClean, s.system.now(), grace)
	}
	s.turn()
}

// end takes note that the session is over, and sends everybody away.
func (s *session) end(reason vera.Reason) {
	s.tenure.over()
	s.dismiss(reason, func(*connection) bool { return true })
}

// passed takes note of a life that was over before this peer had a part in it.
// Whoever was let in here before it began was of it.
func (s *session) passed(life uint64, reason vera.Reason) {
	s.ended = max(s.ended, life)
	of := func(c *connection) bool { return c.arrived < life }
	if slices.ContainsFunc(s.connections, of) {
		s.dismiss(reason, of)
		s.ending = s.ending && len(s.closing) > 0
		if len(s.connections) == 0 { // a later life, perhaps about to begin for one of those, is not missed by anybody here
			s.left(true, s.system.now(), 0)
		}
	}
}

// dismiss sends connections away whose life is over, and refuses what waits for
// them.
func (s *session) dismiss(reason vera.Reason, of func(*connection) bool) {
	goes := func(m *call) bool { return of(m.from) }
	refused, closed := taken(&s.waiting, goes), taken(&s.closing, goes)
	for _, m := range refused {
		m.refuse(errEnded)
	}
	for _, m := range closed {
		m.back()
	}
	for _, c := range taken(&s.connections, of) {
		bye := &farewell{code: vera.CloseEnded, reason: "the session ended: " + reason.String()}
		if slices.ContainsFunc(closed, func(m *call) bool { return m.from == c }) {
			bye = &farewell{code: vera.CloseDone, reason: "closed"}
		}
		c.box.post(bye)
	}
	if len(s.connections) > 0 {
		return
	}
	s.watches, s.gone = nil, nil
	s.grace.Store(0)
	for _, a := range s.arrivals {
		s.grace.Store(max(s.grace.Load(), int64(a.connection.hello.Grace)))
	}
	s.free.Store(0) // until these are let in: who is sent away may be answering a ping right now
}

// taken takes those out of all for which goes holds.
func taken[T any](all *[]T, goes func(T) bool) (gone []T) {
	*all = slices.DeleteFunc(*all, func(one T) bool {
		if goes(one) {
			gone = append(gone, one)
			return true
		}
		return false
	})
	return gone
}
