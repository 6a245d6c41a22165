package actors

import (
	"errors"
	"slices"
	"time"

	"vera"
	"vera/raft/state"
)

// facts is what a session tells of itself.
type facts struct {
	watches []vera.Watched
	life    uint64
}

// refusal is an error as a client is told it. What is not known here to be
// harmless may have had an effect.
func (y *System) refusal(err error) *vera.Error {
	if refused, ok := errors.AsType[*vera.Error](err); ok {
		return refused
	}
	return &vera.Error{Code: vera.Unavailable, Message: err.Error(), Applied: vera.AppliedUnknown}
}

// tell encodes the answer to a call. The outbox is locked.
func (c *connection) tell(m *call, now time.Duration) []byte {
	y, code := c.system, vera.OK
	text := encoded(func(dst []byte) []byte {
		dst, code = c.appendAnswer(dst, m, now)
		return dst
	})
	y.meters.answered(m.request.Action, code, now-m.arrived)
	return text
}

func (c *connection) appendAnswer(dst []byte, m *call, now time.Duration) ([]byte, vera.Code) {
	rid := m.request.RID
	if m.refusal != nil {
		return vera.AppendError(dst, rid, m.refusal), m.refusal.Code
	}
	if m.err != nil {
		refusal := c.system.refusal(m.err)
		return vera.AppendError(dst, rid, refusal), refusal.Code
	}
	switch m.request.Action {
	case vera.ActionGet:
		l, index := c.look(m.request.Path)
		return vera.AppendListing(dst, rid, vera.OK, "", l.Listing(index, m.request.Limit), 0, c.system.options.Owner), vera.OK
	case vera.ActionWatch:
		return c.appendWatch(dst, m), vera.OK
	case vera.ActionPush, vera.ActionUpdate, vera.ActionRemove:
		return c.appendReply(dst, m)
	case vera.ActionPing:
		index := c.index() // first: what is promised is of no earlier state
		return vera.AppendPing(dst, rid, c.safe(m.arrived), index), vera.OK
	case vera.ActionSession:
		return vera.AppendSession(dst, rid, c.info(m)), vera.OK
	}
	return vera.AppendOK(dst, rid), vera.OK
}

// look returns a list and its index, which is told now.
func (c *connection) look(path vera.Path) (*state.List, uint64) {
	l, index := c.system.list(path)
	c.out.told = max(c.out.told, index)
	return l, index
}

// index returns the index applied, which is told now.
func (c *connection) index() uint64 {
	c.out.told = max(c.out.told, c.system.log.Machine().Applied())
	return c.out.told
}

// appendWatch tells the list and lets the lookout begin from there. It
// may be gone already, and a quiet connection has none.
func (c *connection) appendWatch(dst []byte, m *call) []byte {
	r := &m.request
	l, index := c.look(r.Path)
	listing := l.Listing(index, r.Limit)
	if r.Since >= l.Changed() && r.Since != 0 && l.Len() > 0 && r.Path != vera.PeersPath {
		listing.Items = nil
	}
	if s := m.watch; s != nil && !s.over {
		s.told, s.begun = l, true
	}
	return vera.AppendListing(dst, r.RID, vera.OK, "", listing, 0, c.system.options.Owner)
}

// appendReply tells what the log made of a command: the list right after it,
// unless the client has heard of later things, then the list as it is.
func (c *connection) appendReply(dst []byte, m *call) ([]byte, vera.Code) {
	r, reply := &m.request, &m.reply
	switch reply.Code {
	case vera.OK, vera.PreconditionFailed:
	case vera.Unavailable:
		return vera.AppendError(dst, r.RID, &vera.Error{Code: reply.Code, Message: reply.Message, Applied: vera.AppliedNo}), reply.Code
	default:
		return vera.AppendError(dst, r.RID, &vera.Error{Code: reply.Code, Message: reply.Message}), reply.Code
	}
	l, index := reply.List, reply.Index
	if index < c.out.told {
		l, index = c.look(r.Path)
	}
	c.out.told = max(c.out.told, index)
	version := reply.Version
	if r.Action == vera.ActionUpdate && reply.Code == vera.OK {
		version = r.Version
	}
	return vera.AppendListing(dst, r.RID, reply.Code, reply.Message, l.Listing(index, r.Limit), version, c.system.options.Owner), reply.Code
}

// safe is for how long, from an arrival on, the session's items stay whatever
// happens: the grace with which this peer counts in the log, or what is left of
// the failover grace since it was last in touch with the leader.
//
// What the machine shows after the look at the contact was so in the log then.
// So whatever takes the attachment away comes later than that, and leaves the
// failover grace at least; but a client that is lost here, later than the
// arrival, leaves the grace.
func (c *connection) safe(arrived time.Duration) time.Duration {
	y := c.system
	free := time.Duration(c.session.free.Load())
	silent, heard := y.silence(arrived)
	if !heard {
		return 0
	}
	living := y.log.Machine().Session(c.hello.Session)
	if living == nil {
		return max(0, min(free, y.limits.FailoverGrace-silent))
	}
	here, _ := y.attachment(living)
	return max(0, min(here.Grace, y.limits.FailoverGrace-silent))
}

// silence is how long before a moment this peer was last in touch with a
// leader; heard says whether it ever was.
func (y *System) silence(moment time.Duration) (silent time.Duration, heard bool) {
	contact := y.log.LeaderContact()
	return max(0, moment-contact.Sub(y.started)), !contact.IsZero()
}

// safeElsewhere is safe for a session that may have its clients on other peers,
// who may have lost them by now: all of it counts from the contact.
func (y *System) safeElsewhere(id vera.SessionID, unknown time.Duration) time.Duration {
	silent, heard := y.silence(y.now())
	if !heard {
		return 0
	}
	if living := y.log.Machine().Session(id); living != nil {
		unknown = assured(living)
	}
	return max(0, min(unknown, y.limits.FailoverGrace)-silent)
}

// info is the answer to the session action.
func (c *connection) info(m *call) vera.SessionInfo {
	y := c.system
	info := y.info(c.hello, c.index())
	info.Resumed = c.resumed
	info.Grace = time.Duration(c.session.grace.Load())
	info.Safe = c.safe(m.arrived)
	info.Watches = m.facts.watches
	living := y.log.Machine().Session(c.hello.Session)
	if living == nil || m.facts.life != 0 && m.facts.life != living.Life() {
		return info
	}
	info.Items = held(living)
	if m.facts.life == 0 { // it began through another peer, and this one is about to have a part in it
		for _, w := range living.Watches() {
			if !slices.ContainsFunc(info.Watches, func(known vera.Watched) bool { return known.Path == w.Path }) {
				info.Watches = append(info.Watches, w)
			}
		}
	}
	return info
}

// info is what is known of a client that has no session here.
func (y *System) info(h vera.Hello, index uint64) vera.SessionInfo {
	status := y.log.Status()
	return vera.SessionInfo{
		Session: h.Session, Grace: h.Grace, Heartbeat: h.Heartbeat, Safe: y.safeElsewhere(h.Session, h.Grace),
		Peer: status.Peer, Leader: status.Leader, Index: index,
	}
}

func held(s *state.Session) []vera.Held {
	items := make([]vera.Held, 0, s.ItemCount())
	for h := range s.Items() {
		items = append(items, h)
	}
	return items
}
