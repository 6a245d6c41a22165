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
	for _, m := range s.waiting {
		m.refuse(errEnded)
	}
	closing := s.closing
	for _, m := range closing {
		m.back()
	}
	for _, c := range s.connections {
		bye := &farewell{code: vera.CloseEnded, reason: "the session ended: " + reason.String()}
		if slices.ContainsFunc(closing, func(m *call) bool { return m.from == c }) {
			bye = &farewell{code: vera.CloseDone, reason: "closed"}
		}
		c.box.post(bye)
	}
	s.waiting, s.closing, s.connections, s.watches, s.gone = nil, nil, nil, nil, nil
	s.grace.Store(0)
	for _, a := range s.arrivals {
		s.grace.Store(max(s.grace.Load(), int64(a.connection.hello.Grace)))
	}
	s.free.Store(0) // until these are let in: who is sent away may be answering a ping right now
}
