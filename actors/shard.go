package actors

import (
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
