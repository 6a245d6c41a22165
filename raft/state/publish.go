package state

import (
	"cmp"
	"slices"
	"strings"

	"vera"
)

// departure is an item that leaves its list because its session ended.
type departure struct {
	path    vera.Path
	version uint64
	reason  vera.Reason
}

// change publishes a list's new state, for readers who know of this entry;
// the others go on reading the state before.
func (w *world) change(h *holder, before *List, items sequence[slot]) *List {
	after := &List{items: items, changed: w.index}
	after.prev.Store(before)
	h.cur.Store(after)
	if before.Len() == 0 { // empty ones were swept: the holder is new
		w.lists.Store(h.path, h)
		w.listCount.Add(1)
	}
	if after.Len() == 0 {
		w.listCount.Add(-1)
	}
	w.itemCount.Add(int64(after.Len() - before.Len()))
	w.touched = append(w.touched, h)
	w.out.Changes = append(w.out.Changes, Change{h.path, before, after})
	return after
}

// depart takes the items of ended sessions off their lists, each list once.
func (w *world) depart() {
	slices.SortFunc(w.leaving, func(a, b departure) int {
		return cmp.Or(strings.Compare(string(a.path), string(b.path)), cmp.Compare(a.version, b.version))
	})
	for rest := w.leaving; len(rest) > 0; {
		path := rest[0].path
		n := 1
		for n < len(rest) && rest[n].path == path {
			n++
		}
		versions := make([]uint64, n)
		for i := range versions {
			versions[i] = rest[i].version
		}
		h, before := w.list(path)
		reasons := rest[:n]
		w.change(h, before, before.items.without(versions, func(s slot) {
			s.Reason = reasons[0].reason
			reasons = reasons[1:]
		}))
		rest = rest[n:]
	}
	w.leaving = recycle(w.leaving)
}

// publish makes all that the entry did visible, its index last.
func (w *world) publish() {
	w.depart()
	for _, s := range w.edited {
		if !s.over {
			s.cur.Store(s.next)
		}
		s.next = nil
	}
	w.edited = recycle(w.edited)
	w.out.Hash = w.hash.Load()
	w.applied.Store(w.index)
}

// sweep drops what was kept for readers who did not know of the last entry.
// They see now that it is applied and look again.
func (w *world) sweep() {
	for _, h := range w.touched {
		l := h.cur.Load()
		l.prev.Store(nil)
		if l.Len() == 0 {
			w.lists.Delete(h.path)
		}
	}
	w.touched = recycle(w.touched)
}

// recycle empties a slice for the next entry; a large one is given back.
func recycle[T any](s []T) []T {
	if cap(s) > 1024 {
		return nil
	}
	clear(s)
	return s[:0]
}
