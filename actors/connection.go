package actors

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
)

// connection is the actor of one WebSocket. It reads requests, answers those
// about lists by itself, and passes the rest on to its session.
type connection struct {
	box     mailbox
	system  *System
	socket  vera.Socket
	shard   *shard
	session *session // set before the client hears of the connection
	hello   vera.Hello
	resumed bool   // likewise: the session lived before
	arrived uint64 // the session's: index that was applied when it was let in; 0: no other one can have been before it

	valve  valve
	poked  atomic.Bool
	poke   poke
	broken atomic.Bool // its actor failed

	// The actor's own.
	calls    calls
	alarm    alarm
	alarmed  bool
	lookouts []*lookout // sorted; see place
	over     bool       // its session ended
	dirty    bool       // the outbox was filled since the socket was woken

	out outbox
}

// poke says that lists which a connection watches have changed.
//
// watch path → connection: the first of its lookouts was marked
type poke struct{ link }

// closed says that the socket is gone.
//
// ws → connection: once
type closed struct {
	link
	how vera.Ending
}

// begin has a connection watch a list.
//
// session → connection: its client, or another one of the session, asked for
// it; or the session was resumed
type begin struct {
	link
	watch vera.Watched
	call  *call // the request to be answered, nil for other connections
}

// finish has a connection watch a list no more.
//
// session → connection: its client, or another one of the session, asked for it
type finish struct {
	link
	path vera.Path
	call *call // the request to be answered, nil for other connections
}

// farewell ends a connection whose session is over.
//
// session | shard → connection: the session ended
type farewell struct {
	link
	code   vera.CloseCode
	reason string
}

// doubt says whether the majority of the cluster is out of touch.
//
// session-manager → shard → session → connection: that changed
type doubt struct {
	link
	suspended bool
}

// broke brings a panic home that happened while the socket pulled.
//
// connection → connection: it cannot go on
type broke struct {
	link
	reason any
	stack  []byte
}

func newConnection(y *System, h vera.Hello, socket vera.Socket) *connection {
	c := &connection{system: y, socket: socket, hello: h}
	c.alarm.of = c
	c.shard = y.shardOf(h.Session)
	return c
}

// Receive handles one message.
func (c *connection) Receive(context actor.Context) {
	switch m := context.Message().(type) {
	case *call:
		c.proceed(m)
	case *poke:
		c.poked.Store(false)
		c.dirty = true
	case *begin:
		c.begin(m)
	case *joining:
		c.joined(m)
	case *finish:
		c.finish(m)
	case *alarm:
		c.ring()
	case *doubt:
		c.doubt(m.suspended)
	case *farewell:
		c.farewell(m)
	case *closed:
		c.closed(m.how)
	case *miscarriage:
		c.miscarried(m.call)
	case *broke:
		panic(m)
	case *ask:
		m.answer(c)
	}
}

// settle has the socket take what the handlers left in the outbox.
func (c *connection) settle() {
	if c.dirty {
		c.dirty = false
		c.socket.Wake()
	}
}

// reborn is never called: a connection that fails is stopped.
func (c *connection) reborn(message) {}

func (c *connection) describe() any {
	paths := []vera.Path{}
	for _, s := range c.lookouts {
		paths = append(paths, s.path)
	}
	return map[string]any{
		"session": c.hello.Session.String(), "owner": c.hello.Owner, "graceMs": c.hello.Grace.Milliseconds(),
		"heartbeatMs": c.hello.Heartbeat.Milliseconds(), "local": c.hello.Local, "quiet": c.hello.Quiet,
		"underWay": c.valve.count.Load(), "bytes": c.valve.bytes.Load(), "waiting": c.calls.n,
		"unread": c.out.waiting(), "watches": paths, "over": c.over,
	}
}

// wake takes note of a lookout that was marked.
func (c *connection) wake(s *lookout, by *crowd) {
	c.out.mark(s)
	if !c.poked.Load() && c.poked.CompareAndSwap(false, true) {
		by.post(&c.box, &c.poke)
	}
}

// answer puts a call into the outbox, once.
func (c *connection) answer(m *call) {
	c.calls.remove(m)
	if m.answered {
		return
	}
	m.answered = true
	c.out.add(m)
	c.dirty = true
}

// hold keeps a call for which something has to come back.
func (c *connection) hold(m *call) {
	c.calls.add(m)
	if !c.alarmed {
		c.alarmed = true
		c.alarm.due = m.arrived + c.system.limits.Leader
		c.shard.box.post(&c.alarm)
	}
}

// ring refuses the calls that have been under way for too long.
func (c *connection) ring() {
	c.alarmed = false
	patience, now := c.system.limits.Leader, c.system.now()
	for m := c.calls.first; m != nil && m.arrived+patience <= now; m = c.calls.first {
		if m.cancel != nil {
			m.cancel()
		}
		m.refusal = &vera.Error{Code: vera.Unavailable, Message: m.vain(patience), Applied: m.abandon()}
		c.answer(m)
	}
	if m := c.calls.first; m != nil {
		c.alarmed = true
		c.alarm.due = m.arrived + patience
		c.shard.box.post(&c.alarm)
	}
}

// begin watches a list from now on, or with other options.
func (c *connection) begin(m *begin) {
	if c.over {
		return
	}
	place, found := c.place(m.watch.Path)
	s := &lookout{path: m.watch.Path, owner: c}
	if found {
		c.drop(c.lookouts[place])
		c.lookouts[place] = s
	} else {
		c.lookouts = slices.Insert(c.lookouts, place, s)
	}
	c.system.watchShardOf(s.path).box.lend(&joining{
		lookout: s, limit: m.watch.Limit, items: m.watch.Items, call: m.call, in: c.back,
	})
}

// back has a lookout come back to the connection once it is taken in.
func (c *connection) back(m *joining) { c.box.post(m) }

// joined answers the request of a watch that is in place now, so that nothing
// is missed between the answer and the first notification. Without a request
// the list is told by a reset.
func (c *connection) joined(m *joining) {
	if m.call != nil {
		m.call.watch = m.lookout
		c.answer(m.call)
		return
	}
	c.out.begin(m.lookout)
	var by crowd
	m.lookout.mark(&by)
	c.dirty = true
}

// finish watches a list no more.
func (c *connection) finish(m *finish) {
	if place, found := c.place(m.path); found {
		c.drop(c.lookouts[place])
		c.lookouts = slices.Delete(c.lookouts, place, place+1)
	}
	if m.call != nil {
		c.answer(m.call)
	}
}

// drop ends a lookout: nothing more is told for it.
func (c *connection) drop(s *lookout) {
	c.out.end(s)
	c.system.watchShardOf(s.path).box.post(&leaving{lookout: s})
}

func (c *connection) dropAll() {
	for _, s := range c.lookouts {
		c.drop(s)
	}
	c.lookouts = nil
}

// place is where the lookout of a path stands, or would.
func (c *connection) place(path vera.Path) (int, bool) {
	return slices.BinarySearchFunc(c.lookouts, path, func(s *lookout, path vera.Path) int {
		return cmp.Or(cmp.Compare(len(s.path), len(path)), strings.Compare(string(s.path), string(path)))
	})
}

func (c *connection) doubt(suspended bool) {
	c.out.doubt(suspended)
	c.dirty = true
}

// farewell refuses what is under way and has the socket closed.
func (c *connection) farewell(m *farewell) {
	if c.over {
		return
	}
	c.over = true
	for under := c.calls.first; under != nil; under = c.calls.first {
		c.refuseEnded(under)
	}
	c.dropAll()
	c.dirty = false
	c.socket.Close(m.code, m.reason)
}

func (c *connection) refuseEnded(m *call) {
	if m.cancel != nil {
		m.cancel()
	}
	m.refusal = errEnded
	c.answer(m)
}

// miscarried answers a call whose handler failed in the session, unless it got
// as far as the log.
func (c *connection) miscarried(m *call) {
	if c.calls.has(m) && m.abandon() == vera.AppliedNo {
		m.refusal = errFailed
		c.answer(m)
	}
}

// closed tells the session and stops the actor.
func (c *connection) closed(how vera.Ending) {
	for under := c.calls.first; under != nil; under = c.calls.first {
		if under.cancel != nil {
			under.cancel()
		}
		c.calls.remove(under)
	}
	c.dropAll()
	c.shard.box.post(&departure{connection: c, how: how})
	c.box.stop()
}

// abandon is closed for a connection that failed. Its supervisor calls it,
// with the mailbox suspended.
func (c *connection) abandon() {
	c.broken.Store(true)
	c.dropAll()
	c.shard.box.post(&departure{connection: c, how: vera.EndedByServer})
	c.socket.Close(vera.CloseTryLater, "this connection failed")
}

// entrance is a connection as its socket sees it.
type entrance connection

// Receive takes one message. The actor handles it on the caller's goroutine if
// it is at rest.
func (e *entrance) Receive(message []byte) bool {
	c := (*connection)(e)
	y := c.system
	m := &call{from: c, text: message, size: len(message), arrived: y.now()}
	pause := c.valve.admit(m.size, m.arrived, &y.limits)
	if pause > 0 && !c.valve.paused.Swap(true) {
		time.AfterFunc(pause+grain, c.unpause)
	}
	c.box.lend(m)
	return c.valve.open(&y.limits)
}

func (c *connection) unpause() {
	c.valve.paused.Store(false)
	if c.valve.reopen(&c.system.limits) {
		c.socket.Resume()
	}
}

// Closed says that the socket is gone.
func (e *entrance) Closed(how vera.Ending) { e.box.post(&closed{how: how}) }
