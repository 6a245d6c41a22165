package actors

import (
	"slices"
	"time"

	"vera"
	"vera/raft/state"
)

// A session may fail so often in such a time; then it is ended.
const (
	sessionFailures = 3
	failuresWithin  = 10 * time.Second
)

// failed takes note of a session's failure, and says whether it may go on.
func (s *session) failed(now time.Duration) bool {
	s.failures = slices.DeleteFunc(s.failures, func(at time.Duration) bool { return at+failuresWithin <= now })
	s.failures = append(s.failures, now)
	return len(s.failures) <= sessionFailures
}

// bury ends a session that fails again and again. Its actor stands still.
func (d *shard) bury(s *session, lost message) {
	s.mourn(lost)
	if living := d.system.log.Machine().Session(s.id); living != nil && d.system.attached(living) {
		d.system.raft.box.post(&step{what: state.Command{Kind: state.End, Session: s.id, Life: living.Life(), Reason: vera.Ended}})
	}
	for _, c := range s.connections {
		c.box.post(&farewell{code: vera.CloseEnded, reason: "the session ended: it failed"})
	}
	for _, a := range s.arrivals {
		a.refuse(errFailed)
	}
	if d.sessions[s.id] == s {
		delete(d.sessions, s.id)
	}
}

// errFailed refuses what a failed handler left undone.
var errFailed = &vera.Error{Code: vera.InternalError, Message: "this request met a fault of the server"}

// refuse tells whoever waits at the door, if nobody told them yet.
func (a *arrival) refuse(err error) {
	select {
	case a.admitted <- err:
	default:
	}
}

// refuse answers those who did not know that the session's actor had stopped.
func (s *session) refuse(m message) {
	switch m := m.(type) {
	case *call:
		m.refuse(errEnded)
	case *arrival:
		m.refuse(errFailed)
	}
}

// miscarriage says that the handler of a request failed.
//
// session → connection: after a restart
type miscarriage struct {
	link
	call *call
}

// reborn takes stock after a restart: of the connections, and of what the log
// says. The outcome of a step that was under way will come to nobody.
func (s *session) reborn(lost message) {
	s.step, s.pending, s.recording = nil, false, 0
	s.connections = slices.DeleteFunc(s.connections, func(c *connection) bool { return c == nil })
	s.arrivals = slices.DeleteFunc(s.arrivals, func(a *arrival) bool { return a == nil })
	s.stand()
	s.mourn(lost)
	if m, gone := lost.(*departure); gone {
		s.depart(m)
	}
	s.turn()
}

// mourn tells whoever waits for an answer to a message whose handler failed.
// The message itself is not sent on: nobody knows how far it has come.
func (s *session) mourn(lost message) {
	switch m := lost.(type) {
	case *call:
		m.from.box.post(&miscarriage{call: m})
	case *arrival:
		s.meet(m)
		m.refuse(errFailed)
	}
}

// stand takes the session's standing from the machine.
func (s *session) stand() {
	living := s.system.log.Machine().Session(s.id)
	switch {
	case living != nil && s.system.attached(living):
		s.life, s.held = living.Life(), -1
	case living != nil:
		s.life, s.found = 0, living.Life()
	case s.life != 0:
		s.end(vera.Expired)
	}
	s.promise()
}
