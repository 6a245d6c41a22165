package actors

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
	"vera/raft/state"
)

// session is the actor of one client session on this peer. It lives as long as
// a connection of it is here, or the log still counts this peer.
//
// Who is connected, what is watched and the standing in the log survive a
// restart; then the standing is compared with what the machine says.
type session struct {
	box    mailbox
	system *System
	shard  *shard
	id     vera.SessionID

	free  atomic.Int64 // the grace that safeMs may stand on while the log knows nothing of the session, in ns; connections read it
	grace atomic.Int64 // the largest grace that any connection asked for

	routed uint64 // arrivals sent here; the shard's

	tenure
	met         uint64 // arrivals received
	step        *step  // what is under way in the log
	connections []*connection
	arrivals    []*arrival
	waiting     []*call // for a life
	closing     []*call // that ask for the end
	watches     []watched
	gone        []watched       // watches that the log may still have
	recording   int             // commands of watches under way
	stale       bool            // another peer changed the watches meanwhile
	doubting    bool            // the connections were told of a doubt
	failures    []time.Duration // when it failed last; the supervisor's
}

// arrival is a connection at the door.
//
// ws → shard → session: a client connected
type arrival struct {
	link
	connection *connection
	asked      bool // the log was asked after it came
	sure       bool // that the log has no life of the session, or that it could be attached to
	met        bool // the session has counted it
	admitted   chan error
}

// departure is a connection that is gone.
//
// connection → shard → session: its socket is closed, or it failed
type departure struct {
	link
	connection *connection
	how        vera.Ending
}

// verdict is what the log said when it was asked for a life of the session.
//
// log → session: after a barrier
type verdict struct {
	link
	err error
}

// happened is what the log said of a session.
//
// session-manager → shard → session: an entry changed it
type happened struct {
	link
	change state.SessionChange
}

// Receive handles one message.
func (s *session) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *call:
		s.request(m)
	case *step:
		s.stepped(m)
	case *arrival:
		s.arrive(m)
	case *departure:
		s.depart(m)
	case *verdict:
		s.judged(m.err)
	case *respite:
		s.pending = s.step != nil
		s.turn()
	case *happened:
		s.happened(m.change)
	case *afresh:
		s.review()
	case *doubt:
		s.doubted(m.suspended)
	case *ask:
		m.answer(s)
	}
}

func (s *session) settle() {}

func (s *session) describe() any {
	watches := []Watching{}
	for i := range s.watches {
		watches = append(watches, Watching(s.watches[i].Watched))
	}
	connections := []string{}
	for _, c := range s.connections {
		connections = append(connections, c.box.pid.Id)
	}
	return map[string]any{
		"session": s.id.String(), "life": s.life, "graceMs": time.Duration(s.grace.Load()).Milliseconds(),
		"pending": s.pending, "arrivals": len(s.arrivals), "waiting": len(s.waiting),
		"connections": connections, "watches": watches, "restarts": len(s.failures),
	}
}

// turn does what is to be done about the session's standing.
func (s *session) turn() {
	for {
		switch s.next(s.need()) {
		case toAdmit:
			s.admit()
			continue
		case toFinish:
			s.end(vera.Closed)
			continue
		case toInquire:
			s.inquire()
		case toOpen:
			s.take(state.Command{Kind: state.Open, Grace: s.wanted()}, false)
		case toAttach:
			s.take(state.Command{Kind: state.Attach, Life: max(s.life, s.found), Grace: s.wanted()}, s.held < 0 && len(s.arrivals) == 0)
		case toDetach:
			s.record(true)
			clean, grace := s.leave()
			s.take(state.Command{Kind: state.Detach, Life: s.life, Clean: clean, Grace: grace}, false)
		case toEnd:
			s.take(state.Command{Kind: state.End, Life: s.life, Reason: vera.Closed}, false)
		case toVacate:
			s.shard.box.post(&vacancy{session: s, met: s.met})
		}
		return
	}
}

func (s *session) need() need {
	return need{
		connections: len(s.connections),
		arrivals:    len(s.arrivals),
		unsure:      slices.ContainsFunc(s.arrivals, func(a *arrival) bool { return !a.sure }),
		writes:      len(s.waiting) > 0 || s.unrecorded(),
		grace:       s.wanted(),
	}
}

func (s *session) wanted() time.Duration { return time.Duration(s.grace.Load()) }

// take sends a step and waits for its outcome before the next.
func (s *session) take(c state.Command, patient bool) {
	s.pending = true
	c.Session = s.id
	s.step = &step{what: c, patient: patient}
	s.step.home = &s.box
	s.system.raft.box.lend(s.step)
}

// stepped takes a step's outcome.
func (s *session) stepped(m *step) {
	if m.what.Kind == state.Watch || m.what.Kind == state.Unwatch {
		s.recorded(m)
		return
	}
	if m != s.step {
		return // of before a restart: the machine was asked instead
	}
	s.step, s.pending = nil, false
	switch {
	case m.reply.Code == vera.OK:
		s.achieved(m)
	case m.what.Kind == state.Open:
		s.putOff(m)
		return
	case m.what.Life == s.life:
		s.end(vera.Closed)
	}
	s.found = 0
	s.compare()
	s.turn()
}

// respite says that a life may be asked for once more.
//
// clock → session: a while after the log refused to open one
type respite struct{ link }

// putOff refuses what waits for a life that the log will not have now, and
// asks for one again later, if anything still needs it then.
func (s *session) putOff(m *step) {
	waiting := s.waiting
	s.waiting = nil
	for _, w := range waiting {
		w.refuse(&vera.Error{Code: m.reply.Code, Message: m.reply.Message, Applied: vera.AppliedNo})
	}
	s.pending = true
	time.AfterFunc(retryAfter, func() { s.box.post(&respite{}) })
}

// achieved is what a step that was taken means.
func (s *session) achieved(m *step) {
	switch m.what.Kind {
	case state.Open, state.Attach:
		if m.reply.Life <= s.ended {
			s.end(vera.Ended) // between the entry and its outcome
			return
		}
		if m.what.Kind == state.Open && m.reply.Resumed && len(s.connections) == 0 {
			s.ending = false // who wanted that is gone, and did not mean the life that began elsewhere since
		}
		known := s.life == m.reply.Life
		s.life, s.held = m.reply.Life, m.what.Grace
		s.promise()
		s.relieve()
		s.proceed()
		s.remember(!known && m.reply.Resumed)
		if known {
			s.adopt() // while this peer did not count it was told of nothing
		}
	case state.Detach:
		s.tenure = tenure{ended: s.ended}
		s.watches = nil
		s.promise()
	case state.End:
		s.end(vera.Closed)
	}
}

// promise is what pings may rely on while nothing is there to be lost: the
// grace that will be.
func (s *session) promise() {
	if s.life == 0 {
		s.free.Store(s.grace.Load())
		return
	}
	s.free.Store(0)
}

// proceed sends on what waited for a life.
func (s *session) proceed() {
	waiting := s.waiting
	s.waiting = nil
	for _, m := range waiting {
		m.life = s.life
		s.system.raft.box.lend(m)
	}
}

// inquire asks the log whether the session lives: this peer's own state may
// be late.
func (s *session) inquire() {
	s.pending = true
	for _, a := range s.arrivals {
		a.asked = true
	}
	s.system.log.Barrier(func(_ uint64, err error) { s.box.post(&verdict{err: err}) })
}

// judged looks at the machine, which is at least as new as the question.
func (s *session) judged(err error) {
	s.pending = false
	if err != nil {
		s.turnAway(s.system.refusal(err))
	}
	for _, a := range s.arrivals {
		a.sure = a.sure || a.asked
	}
	s.review()
}

// turnAway refuses those whose life could not be asked for.
func (s *session) turnAway(err error) {
	for _, a := range taken(&s.arrivals, func(a *arrival) bool { return !a.sure && a.asked }) {
		a.admitted <- err
	}
}

// happened compares what the log says with what is known.
func (s *session) happened(c state.SessionChange) {
	switch {
	case c.What == state.Over && c.Life == s.life:
		s.end(c.Reason)
		s.turn()
	case c.What == state.Over:
		s.passed(c.Life, c.Reason)
		s.turn()
	case c.What == state.Opened, c.What == state.Detached && c.Life == s.life:
		s.compare()
		s.turn()
	case c.What == state.Rewatched && c.Life == s.life:
		s.adopt()
	}
}

// review looks at everything that the log may have changed unheard.
func (s *session) review() {
	living := s.system.log.Machine().Session(s.id)
	if s.life != 0 && (living == nil || living.Life() != s.life) {
		s.end(vera.Expired)
	}
	s.compare()
	s.adopt()
	s.turn()
}

// compare compares the session's standing with the machine's, which may be
// newer than what was heard: that a life ended will be heard. While a step is
// under way its outcome comes first.
func (s *session) compare() {
	living := s.system.log.Machine().Session(s.id)
	switch {
	case s.step != nil || living == nil:
	case s.life == 0 && living.Life() > s.ended:
		s.found = living.Life() // through another peer
	case s.life == living.Life() && !s.system.attached(living):
		s.held = -1
	}
}
