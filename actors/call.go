package actors

import (
	"fmt"
	"sync/atomic"
	"time"

	"vera"
	"vera/raft/state"
)

// order is what every command carries on its way through the log, and brings
// back.
type order struct {
	link
	home  *mailbox // who wants the outcome; nil: nobody
	stage atomic.Uint32
	reply state.Reply
	err   error // the outcome when there is no reply. Both are of who has the order now
}

// The stages of an order. Whoever moves it on from queued decides what is true
// of it: the raft actor that it is under way, its connection that it never
// will be.
const (
	queued uint32 = iota
	proposed
	abandoned
)

func (o *order) carried() *order { return o }

// abandon gives an order up and says what is known of its effect. It does not
// take it out of the queue that it waits in.
func (o *order) abandon() vera.Applied {
	if o.stage.CompareAndSwap(queued, abandoned) || o.stage.Load() == abandoned {
		return vera.AppliedNo
	}
	return vera.AppliedUnknown
}

// proposal is a message that asks for a command to be put into the log.
type proposal interface {
	message
	carried() *order
	command() state.Command
	// must says that the command has to be applied, however long it takes.
	must() bool
}

// step is a command that a session needs for itself.
//
// session → raft: its standing in the log must change
// raft → session: it has changed
type step struct {
	order
	what    state.Command
	patient bool // it may come as one of very many, and lets others pass
}

func (s *step) command() state.Command { return s.what }
func (s *step) must() bool             { return true }

// call is one request of a client, from its arrival to its answer.
//
// ws → connection: a message arrived
// connection → session: it is the session's business
// session → raft: it changes a list
// session | raft | shard | log → connection: it can be answered, or goes on
type call struct {
	order
	from    *connection
	text    []byte // the message, until it is read
	size    int    // its bytes
	arrived time.Duration
	request vera.Request
	life    uint64

	// The connection's own.
	parsed       bool
	waited       bool   // for an index or the leader
	answered     bool   // it is in the outbox or was told
	cancel       func() // ends the waiting for an index
	older, newer *call  // neighbours in the table of those under way

	// How it is answered; the outbox's once it is there.
	refusal *vera.Error // what the connection itself says; beside it nothing else counts
	watch   *lookout    // watch: what begins with the answer
	facts   *facts      // session
	after   *call       // in the outbox
}

// must is false: when the client was told that it failed, nobody needs it.
func (m *call) must() bool { return false }

// command is what the call asks of the log.
func (m *call) command() state.Command {
	r, l := &m.request, &m.from.system.limits
	c := state.Command{
		Session: m.from.hello.Session, Life: m.life,
		Path: r.Path, Data: r.Data, IfMatch: r.IfMatch, Conditional: r.Conditional, Version: r.Version,
	}
	switch r.Action {
	case vera.ActionPush:
		c.Kind, c.Owner, c.Once = state.Push, m.from.hello.Owner, r.Once
		c.SessionItems, c.ListItems = l.SessionItems, l.ListItems
	case vera.ActionUpdate:
		c.Kind = state.Update
	case vera.ActionRemove:
		c.Kind = state.Remove
	}
	return c
}

// vain says what the call waited for in vain.
func (m *call) vain(patience time.Duration) string {
	switch r := &m.request; {
	case r.MinIndex > m.from.system.log.Machine().Applied():
		return fmt.Sprintf("minIndex: %d was not reached here within %v", r.MinIndex, patience)
	case r.Since > m.from.system.log.Machine().Applied():
		return fmt.Sprintf("since: %d was not reached here within %v", r.Since, patience)
	}
	return fmt.Sprintf("%s: no leader agreed within %v", m.request.Action, patience)
}

// back sends the call to its connection.
func (m *call) back() { m.from.box.post(m) }

// refuse sends the call back with an error.
func (m *call) refuse(err *vera.Error) {
	m.err = err
	m.back()
}

// errEnded refuses what a session did not live to see.
var errEnded = &vera.Error{Code: vera.SessionEnded, Message: "the session ended"}

// calls is a connection's table of calls under way: those that something has
// to come back for before they can be answered, the oldest first.
type calls struct {
	first, last *call
	n           int
}

func (t *calls) add(m *call) {
	m.older, m.newer = t.last, nil
	if t.last == nil {
		t.first = m
	} else {
		t.last.newer = m
	}
	t.last = m
	t.n++
}

// has says whether the call is in the table.
func (t *calls) has(m *call) bool { return m.older != nil || m.newer != nil || t.first == m }

func (t *calls) remove(m *call) {
	if !t.has(m) {
		return
	}
	if m.older == nil {
		t.first = m.newer
	} else {
		m.older.newer = m.newer
	}
	if m.newer == nil {
		t.last = m.older
	} else {
		m.newer.older = m.older
	}
	m.older, m.newer = nil, nil
	t.n--
}
