package actors

import (
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
	"vera/raft/state"
)

// shard is the actor that knows its share of the sessions by their ids, and
// supervises them and their connections.
type shard struct {
	box      mailbox
	system   *System
	sessions map[vera.SessionID]*session
	wheel    wheel
}

// vacancy says that a session has nothing left to do here.
//
// session → shard: nobody is connected and the log counts this peer no more
type vacancy struct {
	link
	session *session
	met     uint64 // arrivals that it has received
}

// lives is what some entries of the log did to sessions.
//
// session-manager → shard: after it read on in the feed
type lives struct {
	link
	all []state.SessionChange
}

// tick says that a grain has passed.
//
// clock → session-manager → shard
type tick struct{ link }

// Receive handles one message.
func (d *shard) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *arrival:
		d.arrive(m)
	case *departure:
		d.depart(m)
	case *alarm:
		d.wheel.add(m)
	case *tick:
		d.wheel.advance(d.system.now(), func(a *alarm) { a.of.box.post(a) })
	case *lives:
		d.happened(m.all)
	case *vacancy:
		d.vacate(m)
	case *afresh:
		d.afresh()
	case *doubt:
		d.doubted(m.suspended)
	case *ask:
		m.answer(d)
	}
}

func (d *shard) settle() {}

func (d *shard) reborn(message) {}

func (d *shard) describe() any {
	return map[string]any{"sessions": len(d.sessions), "alarms": d.wheel.n}
}

func (d *shard) arrive(m *arrival) {
	id := m.connection.hello.Session
	s := d.sessions[id]
	if s == nil {
		s = &session{system: d.system, shard: d, id: id}
		d.sessions[id] = s
		d.system.kinds.session.spawn(s, &s.box, d.box.pid)
	}
	m.connection.session = s
	s.routed++
	s.box.lend(m)
}

func (d *shard) depart(m *departure) {
	if s := d.sessions[m.connection.hello.Session]; s != nil {
		s.box.lend(m)
	}
}

// vacate forgets a session, unless somebody arrived in between.
func (d *shard) vacate(m *vacancy) {
	s := m.session
	if d.sessions[s.id] == s && s.routed == m.met {
		d.forget(s)
	}
}

func (d *shard) forget(s *session) {
	delete(d.sessions, s.id)
	s.box.stop()
}

// happened passes on what concerns sessions that are here. One that counts
// this peer though nobody is here is told otherwise: its actor failed before
// it could.
func (d *shard) happened(all []state.SessionChange) {
	for _, c := range all {
		if s := d.sessions[c.Session]; s != nil {
			s.box.post(&happened{change: c})
			continue
		}
		if c.What != state.Opened && c.What != state.Attached {
			continue
		}
		living := d.system.log.Machine().Session(c.Session)
		if living != nil && living.Life() == c.Life && d.system.attached(living) {
			d.system.raft.box.post(&step{what: state.Command{Kind: state.Detach, Session: c.Session, Life: c.Life, Grace: d.system.limits.FailoverGrace}})
		}
	}
}

func (d *shard) afresh() {
	for _, s := range d.sessions {
		s.box.post(&afresh{})
	}
}

func (d *shard) doubted(suspended bool) {
	for _, s := range d.sessions {
		s.box.post(&doubt{suspended: suspended})
	}
}

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
