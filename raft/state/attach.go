package state

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"vera"
)

// admit says whether the batch is the next one of its peer, and notes it.
func (w *world) admit() bool {
	h := w.header
	if h.first == 0 {
		return true
	}
	p := w.peer(h.peer)
	if w.command.Kind == PeerUp {
		return p == nil || h.incarnation > p.incarnation
	}
	if p == nil || p.gone || h.incarnation != p.incarnation || h.first != p.last.Load()+1 {
		return false
	}
	p.last.Store(h.first + uint64(h.count) - 1)
	return true
}

// peerUp begins an incarnation, after the earlier one lost what it had.
func (w *world) peerUp(c *Command) Reply {
	p := &peer{id: w.header.peer, incarnation: w.header.incarnation}
	p.last.Store(uint64(w.header.count))
	w.setPeer(p)
	w.lose(p.id, c.Grace)
	return Reply{Code: vera.OK}
}

// peerGone refuses an incarnation from now on. One that is not the latest is
// over already.
func (w *world) peerGone(c *Command) Reply {
	if old := w.peer(c.Peer); old != nil && old.incarnation == c.Incarnation {
		p := &peer{id: old.id, incarnation: old.incarnation, gone: true}
		p.last.Store(old.last.Load())
		w.setPeer(p)
		w.lose(p.id, c.Grace)
	}
	return Reply{Code: vera.OK}
}

func (w *world) setPeer(p *peer) {
	peers := slices.Clone(*w.peers.Load())
	if i, found := searchPeer(peers, p.id); found {
		peers[i] = p
	} else {
		peers = slices.Insert(peers, i, p)
	}
	w.peers.Store(&peers)
}

// lose takes all attachments of a peer away, in the order of the sessions'
// lives. Each session is waited for as long as its client asked, and at least
// for the given time.
func (w *world) lose(id PeerID, least time.Duration) {
	type losing struct {
		life uint64 // what is sorted by lies here, for there may be very many
		s    *session
	}
	var lost []losing
	w.sessions.Range(func(_, v any) bool {
		s := v.(*session)
		if _, found := s.newest().facts.attachment(id); found {
			lost = append(lost, losing{s.newest().facts.life, s})
		}
		return true
	})
	slices.SortFunc(lost, func(a, b losing) int {
		if a.life != b.life {
			return cmp.Compare(a.life, b.life)
		}
		f, g := a.s.newest().facts, b.s.newest().facts
		return bytes.Compare(f.id[:], g.id[:])
	})
	w.out.Sessions = slices.Grow(w.out.Sessions, len(lost))
	w.edited = slices.Grow(w.edited, len(lost))
	for _, l := range lost {
		f := l.s.newest().facts
		place, _ := f.attachment(id)
		w.part(l.s, place, max(least, f.attachments[place].Grace), false)
	}
}

func (w *world) open(c *Command) Reply {
	if s := w.session(c.Session); s != nil {
		r := w.attach(s, c.Grace)
		r.Resumed = true
		return r
	}
	s := &session{next: &Session{facts: &facts{id: c.Session, life: w.index, edition: w.index}}}
	s.next.facts.attachments = []Attachment{w.attachment(c.Grace)}
	w.sessions.Store(c.Session, s)
	w.sessionCount.Add(1)
	w.edited = append(w.edited, s)
	w.tell(s, SessionChange{What: Opened, Grace: c.Grace})
	return Reply{Code: vera.OK, Life: w.index}
}

func (w *world) attachment(grace time.Duration) Attachment {
	return Attachment{w.header.peer, w.header.incarnation, grace}
}

// attach adds the batch's peer to a session, or takes its word anew: a longer
// grace, never a shorter one. An open doubt stays open: it may be about another
// client than the one that came.
func (w *world) attach(s *session, grace time.Duration) Reply {
	f := w.draftFacts(s)
	place, found := f.attachment(w.header.peer)
	if !found {
		f.attachments = slices.Insert(f.attachments, place, Attachment{})
	}
	f.attachments[place] = w.attachment(max(grace, f.attachments[place].Grace))
	w.tell(s, SessionChange{What: Attached, Grace: grace})
	return Reply{Code: vera.OK, Life: f.life, Resumed: true}
}

func (w *world) detach(s *session, c *Command) Reply {
	if place, found := s.newest().facts.attachment(w.header.peer); found {
		w.part(s, place, max(c.Grace, s.newest().facts.attachments[place].Grace), c.Clean)
	}
	return Reply{Code: vera.OK}
}

// part takes an attachment away. A client that was lost opens a doubt, or
// makes the open one last anew; whoever leaves last on purpose while there is
// one leaves it behind. Without any doubt the session ends with its last
// attachment. Whoever leaves on purpose while others stay leaves them his
// grace, since his client may stand on it: of several the largest counts.
func (w *world) part(s *session, place int, grace time.Duration, clean bool) {
	f := w.draftFacts(s)
	f.attachments = slices.Delete(f.attachments, place, place+1)
	last := len(f.attachments) == 0
	switch {
	case clean && !last:
		for i := range f.attachments {
			f.attachments[i].Grace = max(f.attachments[i].Grace, grace)
		}
	case clean && f.since == 0:
		w.finish(s, vera.Closed)
	case max(f.doubt, grace) > 0:
		f.since, f.doubt = w.index, max(f.doubt, grace)
		w.tell(s, f.missed())
	case last:
		w.finish(s, vera.Expired)
	}
}

// missed is how an open doubt is told.
func (f *facts) missed() SessionChange {
	return SessionChange{Session: f.id, Life: f.life, What: Detached, Since: f.since, Grace: f.doubt}
}

func (w *world) expire(s *session, c *Command) Reply {
	switch f := s.newest().facts; {
	case f.since != c.Since: // that doubt was closed, perhaps a later one is open
	case len(f.attachments) == 0:
		w.finish(s, vera.Expired)
	default:
		f = w.draftFacts(s)
		f.since, f.doubt = 0, 0
	}
	return Reply{Code: vera.OK}
}

func (w *world) end(s *session, reason vera.Reason) Reply {
	w.finish(s, reason)
	return Reply{Code: vera.OK}
}

// finish ends a session. Its items leave their lists when the whole entry is
// done, all at once.
func (w *world) finish(s *session, reason vera.Reason) {
	d := w.draft(s)
	d.items.each(-1, func(h holding) bool {
		w.leaving = append(w.leaving, departure{h.Path, h.Version, reason})
		return true
	})
	s.over = true
	w.sessions.Delete(d.facts.id)
	w.sessionCount.Add(-1)
	w.watchCount.Add(-int64(len(d.facts.watches)))
	w.tell(s, SessionChange{What: Over, Reason: reason})
}

// tell adds to the output what happened to a session.
func (w *world) tell(s *session, c SessionChange) {
	f := s.newest().facts
	c.Session, c.Life = f.id, f.life
	w.out.Sessions = append(w.out.Sessions, c)
}
