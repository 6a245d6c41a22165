package state

import (
	"cmp"
	"iter"
	"slices"

	"vera"
)

// Applied is the index of the last entry that was applied.
func (m *Machine) Applied() uint64 { return m.world.Load().applied.Load() }

// Hash is the rolling hash of everything applied, with its indexes.
// Output.Hash is the same, together with its index.
func (m *Machine) Hash() uint64 { return m.world.Load().hash.Load() }

// List returns a list, empty when nothing is there, and the index at which it
// was exactly so: the index applied at some moment during the call.
func (m *Machine) List(p vera.Path) (*List, uint64) {
	w := m.world.Load()
	for {
		index := w.applied.Load()
		if l := w.listAt(p, index); l != nil {
			return l, index
		}
	}
}

// listAt returns the list as it was at an index that was the applied one a
// moment ago, or nil when that cannot be said any more: the machine went on.
func (w *world) listAt(p vera.Path, index uint64) *List {
	v, found := w.lists.Load(p)
	if !found {
		// It was empty, unless it was swept after index: then the index that
		// is applied now is another.
		if w.applied.Load() == index {
			return empty
		}
		return nil
	}
	h := v.(*holder)
	if index < h.born {
		return nil
	}
	l := h.cur.Load()
	if l.changed > index {
		l = l.prev.Load()
	}
	if l == nil || l.changed > index {
		return nil
	}
	return l
}

// Session returns a session that lives, or nil. It may be ahead of Applied by
// the entry that is being applied.
func (m *Machine) Session(id vera.SessionID) *Session {
	if s := m.world.Load().session(id); s != nil {
		return s.cur.Load()
	}
	return nil
}

// Sessions walks the sessions that live, in no order. One that begins or ends
// meanwhile may be left out.
func (m *Machine) Sessions() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		m.world.Load().sessions.Range(func(_, v any) bool {
			s := v.(*session).cur.Load()
			return s == nil || yield(s)
		})
	}
}

// Doubts walks the open doubts of all sessions as if each had just been told,
// in no order: what a leader that has loaded a snapshot must time. See
// SessionChange.
func (m *Machine) Doubts() iter.Seq[SessionChange] {
	return func(yield func(SessionChange) bool) {
		for s := range m.Sessions() {
			if s.facts.since != 0 && !yield(s.facts.missed()) {
				return
			}
		}
	}
}

// Counts returns how much there is.
func (m *Machine) Counts() Counts {
	w := m.world.Load()
	return Counts{
		Sessions: int(w.sessionCount.Load()), Items: int(w.itemCount.Load()),
		Watches: int(w.watchCount.Load()), Lists: int(w.listCount.Load()),
	}
}

// Peers returns every peer that ever wrote to the log, in the order of their ids.
func (m *Machine) Peers() []Peer {
	var all []Peer
	for _, p := range *m.world.Load().peers.Load() {
		all = append(all, Peer{p.id, p.incarnation, p.last.Load(), p.gone})
	}
	return all
}

// Peer returns a peer that ever wrote to the log; else all but its id is zero.
func (m *Machine) Peer(id PeerID) Peer {
	if p := m.world.Load().peer(id); p != nil {
		return Peer{p.id, p.incarnation, p.last.Load(), p.gone}
	}
	return Peer{Peer: id}
}

// LastSequence returns a peer's latest incarnation and the number of its last
// command that was applied; zeros for one that never wrote to the log. The
// next number it may use is one more.
func (m *Machine) LastSequence(id PeerID) (incarnation, sequence uint64) {
	if p := m.world.Load().peer(id); p != nil {
		return p.incarnation, p.last.Load()
	}
	return 0, 0
}

func (w *world) peer(id PeerID) *peer {
	peers := *w.peers.Load()
	if i, found := searchPeer(peers, id); found {
		return peers[i]
	}
	return nil
}

func searchPeer(peers []*peer, id PeerID) (place int, found bool) {
	return slices.BinarySearchFunc(peers, id, func(p *peer, id PeerID) int { return cmp.Compare(p.id, id) })
}
