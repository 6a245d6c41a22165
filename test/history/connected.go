package history

import (
	"slices"
	"time"
)

// Connection is one connection of a session, as its client knows it.
type Connection struct {
	Name     string
	Peer     string
	Life     *Life  // in which it was let in
	LetIn    Moment // when its client was told so
	Gone     Moment // when it ended, before its peer knew if its client wanted it; Seq 0: never
	SentAway bool   // it ended because its session had, as the peer says

	r *Recorder
}

// Trouble is a time in which something was wrong with a peer: with its disk, or
// the network between it and others, or it did not run.
type Trouble struct {
	Peer        string
	From, Until Moment // Until.Seq 0: to the end

	r *Recorder
}

// Connect records that a client was told that its connection is one of a life.
func (r *Recorder) Connect(c Connection) *Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.r, c.LetIn = r, r.now()
	if !r.over {
		r.h.Connections = append(r.h.Connections, &c)
	}
	return &c
}

// End records that a connection is gone, and whether its client was told that
// the session had ended.
func (c *Connection) End(sentAway bool) {
	if !c.r.lock() {
		return
	}
	defer c.r.mu.Unlock()
	c.Gone, c.SentAway = c.r.now(), sentAway
}

// Trouble records that from now on something may be wrong with a peer.
func (r *Recorder) Trouble(peer string) *Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &Trouble{Peer: peer, From: r.now(), r: r}
	if !r.over {
		r.h.Troubles = append(r.h.Troubles, t)
	}
	return t
}

// Over records that all is well with the peer again.
func (t *Trouble) Over() {
	if !t.r.lock() {
		return
	}
	defer t.r.mu.Unlock()
	t.Until = t.r.now()
}

const (
	// steadyFor is how long nothing was wrong with a peer that is held to be in
	// touch with the majority, when there is one.
	steadyFor = 5 * time.Second
	// countedAfter is how long after a connection was let in, and its life was
	// in the log, its peer is held to have a part in the life.
	countedAfter = 300 * time.Millisecond
)

// checkConnected has no life end while a connection of it is there, unless its
// client closed it.
func (c *checker) checkConnected() {
	for _, k := range c.Connections {
		l := k.Life
		if l.Index == 0 || l.Leaving.Before(l.end.Seen) || !k.there(l.end.Seen) || !c.steady(k.Peer, l.end.Seen.At) {
			continue
		}
		c.violate(LiveSessionEnded, nil, "%s was %s at index %d and %v, and its connection %s had been there since %v", l, l.end.Reason, l.Index, l.end.Seen.At, k.Name, k.LetIn.At)
	}
}

// there says whether a connection counted for its life at a moment.
func (k *Connection) there(at Moment) bool {
	if since := max(k.LetIn.At, k.Life.born.At); since+countedAfter > at.At {
		return false
	}
	return k.Gone.Seq == 0 || k.SentAway || k.Gone.At > at.At
}

// steady says whether nothing was wrong with a peer for a while.
func (c *checker) steady(peer string, at time.Duration) bool {
	return !slices.ContainsFunc(c.Troubles, func(t *Trouble) bool {
		return t.Peer == peer && t.From.At <= at && (t.Until.Seq == 0 || t.Until.At+steadyFor > at)
	})
}
