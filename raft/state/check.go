package state

import (
	"fmt"

	"vera"
)

// Check says which invariant of the package's comment does not hold, nil when
// all do. Nothing may be applied meanwhile. It costs as much as walking all
// there is and looking each item up once.
func (m *Machine) Check() error { return m.world.Load().check() }

// broken is an invariant that does not hold.
func broken(number int, format string, args ...any) error {
	return fmt.Errorf("invariant %d is broken: %s", number, fmt.Sprintf(format, args...))
}

func (w *world) check() error {
	walked := Counts{}
	err := w.checkPeers()
	w.lists.Range(func(path, v any) bool {
		if err == nil {
			err = w.checkList(path.(vera.Path), v.(*holder), &walked)
		}
		return err == nil
	})
	held := 0
	w.sessions.Range(func(id, v any) bool {
		if err == nil {
			err = w.checkSession(id.(vera.SessionID), v.(*session), &walked, &held)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	counted := Counts{int(w.sessionCount.Load()), int(w.itemCount.Load()), int(w.watchCount.Load()), int(w.listCount.Load())}
	switch {
	case held != walked.Items:
		return broken(5, "sessions hold %d items, lists %d", held, walked.Items)
	case counted != walked:
		return broken(12, "counted %+v, walked %+v", counted, walked)
	case len(w.edited) > 0 || len(w.leaving) > 0:
		return broken(13, "%d drafts and %d departures are left", len(w.edited), len(w.leaving))
	}
	return nil
}

func (w *world) checkPeers() error {
	peers := *w.peers.Load()
	for i, p := range peers {
		if i > 0 && peers[i-1].id >= p.id {
			return broken(11, "peer %d stands behind peer %d", p.id, peers[i-1].id)
		}
		if p.incarnation == 0 || p.last.Load() == 0 {
			return broken(11, "peer %d has incarnation %d and last number %d", p.id, p.incarnation, p.last.Load())
		}
	}
	return nil
}

func (w *world) checkList(path vera.Path, h *holder, walked *Counts) error {
	l := h.cur.Load()
	applied := w.applied.Load()
	switch prev := l.prev.Load(); {
	case h.path != path:
		return broken(13, "the list of %q is called %q", path, h.path)
	case l.changed > applied || l.changed == 0:
		return broken(1, "%s changed at %d, applied is %d", path, l.changed, applied)
	case l.Len() == 0 && l.changed != applied:
		return broken(2, "%s is empty since %d, applied is %d", path, l.changed, applied)
	case prev != nil && (l.changed != applied || prev.changed >= l.changed):
		return broken(2, "%s of %d keeps its state of %d, applied is %d", path, l.changed, prev.changed, applied)
	}
	if err := l.items.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if l.Len() > 0 {
		walked.Lists++
		walked.Items += l.Len()
	}
	for it := range l.All() {
		if err := w.checkItem(it, l); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (w *world) checkItem(it *vera.Item, l *List) error {
	s := w.session(it.Session)
	switch {
	case it.Version > l.changed || it.Updated > l.changed:
		return broken(1, "item %d updated at %d is newer than its list's change at %d", it.Version, it.Updated, l.changed)
	case it.Updated != 0 && it.Updated <= it.Version:
		return broken(1, "item %d was updated at %d", it.Version, it.Updated)
	case it.Reason != vera.Stays:
		return broken(1, "item %d left with the reason %s and is there", it.Version, it.Reason)
	case s == nil:
		return broken(4, "item %d is of session %s, which is over", it.Version, it.Session)
	case s.cur.Load().facts.life != it.Life || it.Version <= it.Life:
		return broken(4, "item %d is of life %d of session %s, which lives since %d", it.Version, it.Life, it.Session, s.cur.Load().facts.life)
	}
	return nil
}

func (w *world) checkSession(id vera.SessionID, s *session, walked *Counts, held *int) error {
	now := s.cur.Load()
	if now == nil || s.next != nil || s.over || now.facts.id != id {
		return broken(13, "session %s is the draft of an entry that was applied, or has another id", id)
	}
	walked.Sessions++
	walked.Watches += len(now.facts.watches)
	*held += now.items.n
	err := now.items.check()
	if err == nil {
		err = w.checkFacts(now.facts)
	}
	if err == nil {
		err = s.checkUses(now, w.applied.Load())
	}
	now.items.each(-1, func(h holding) bool {
		if err == nil {
			_, l := w.list(h.Path)
			if it := l.Find(h.Version); it == nil || it.Session != id {
				err = broken(5, "it holds item %d, which %s does not have for it", h.Version, h.Path)
			}
		}
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("session %s: %w", id, err)
	}
	return nil
}

func (w *world) checkFacts(f *facts) error {
	applied := w.applied.Load()
	switch {
	case f.life == 0 || f.life > applied:
		return broken(7, "it was opened at %d, applied is %d", f.life, applied)
	case len(f.attachments) == 0 && f.since == 0:
		return broken(6, "it is neither attached nor missed")
	case (f.since == 0) != (f.doubt == 0) || f.doubt < 0 || f.since > applied || f.since != 0 && f.since < f.life:
		return broken(7, "it is missed since %d for %s, applied is %d", f.since, f.doubt, applied)
	}
	for i, a := range f.attachments {
		p := w.peer(a.Peer)
		switch {
		case i > 0 && f.attachments[i-1].Peer >= a.Peer:
			return broken(8, "its attachment to peer %d stands behind that to peer %d", a.Peer, f.attachments[i-1].Peer)
		case p == nil || p.gone || p.incarnation != a.Incarnation || a.Grace < 0:
			return broken(8, "it is attached to incarnation %d of peer %d with grace %s, and the peer is not there like that", a.Incarnation, a.Peer, a.Grace)
		}
	}
	for i, watched := range f.watches {
		if i > 0 && f.watches[i-1].Path >= watched.Path || watched.Limit < vera.NoLimit {
			return broken(9, "its watch of %s with limit %d is out of place", watched.Path, watched.Limit)
		}
	}
	for i, o := range f.orders {
		if i > 0 && f.orders[i-1].path >= o.path || o.arrival == 0 {
			return broken(9, "the order of its watch of %s, since %d, is out of place", o.path, o.arrival)
		}
	}
	if left, _ := f.left(); left > leftPaths {
		return broken(9, "it knows since when it does not watch %d lists", left)
	}
	return nil
}

func (s *session) checkUses(now *Session, applied uint64) error {
	uses := now.uses()
	if now.once != nil {
		if err := now.once.check(); err != nil {
			return err
		}
	}
	if len(uses) != len(s.seen) || len(uses) > vera.OnceKeys {
		return broken(10, "%d keys in their order, %d to be found", len(uses), len(s.seen))
	}
	for _, u := range uses {
		if s.seen[u.key] != u || u.push > applied || u.push <= now.facts.life {
			return broken(10, "key %q of push %d is not found, or not of this life", u.key, u.push)
		}
	}
	return nil
}

// check verifies the shape of a sequence and that its versions rise.
func (s *sequence[T]) check() error {
	n, last := 0, uint64(0)
	for i := range len(s.spine) + 1 {
		c := s.chunk(i)
		switch {
		case len(c) > chunkSize, len(c) == 0 && i < len(s.spine):
			return broken(3, "chunk %d has %d elements", i, len(c))
		case 0 < i && i < len(s.spine) && len(s.chunk(i-1))+len(c) <= chunkLow:
			return broken(3, "chunks %d and %d should be one", i-1, i)
		}
		for _, t := range c {
			if t.version() <= last {
				return broken(1, "version %d stands behind %d", t.version(), last)
			}
			last = t.version()
		}
		n += len(c)
	}
	if n != s.n {
		return broken(3, "%d elements, counted %d", n, s.n)
	}
	return nil
}
