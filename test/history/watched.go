package history

import (
	"fmt"
	"slices"

	"vera"
)

// checkWatches follows every watch, holds each notification to what was told
// before, and keeps the states told, to be compared with those of the list.
func (c *checker) checkWatches() {
	for _, w := range c.Watches {
		if w.Path == string(vera.PeersPath) {
			continue // its versions and etags are no indexes
		}
		f := follower{watch: w}
		if w.Answer != nil {
			f.begin(*w.Answer)
		}
		for i := range w.Told {
			m := &w.Told[i]
			if err := f.take(m); err != nil {
				c.violate(WrongDifference, nil, "%s, watching %s, was told at %v: %v", w.Connection, w.Path, m.Seen.At, err)
				f.sure = false
				break
			}
			c.watched(&f, m.Seen)
			c.checkReasons(w, m)
		}
		c.caughtUp(&f)
	}
}

// follower keeps a list by what its watcher is told.
type follower struct {
	watch *Watch
	known []Item
	index uint64
	etag  uint64
	sure  bool // known is what the watcher was told
}

// begin takes the answer to the watch.
func (f *follower) begin(m Message) {
	f.known, f.index, f.etag, f.sure = slices.Clone(m.Items), m.Index, m.ETag, true
	if m.Items == nil {
		f.known = slices.Clone(f.watch.Known)
		f.sure = f.known != nil
	}
}

// take applies one notification.
func (f *follower) take(m *Message) error {
	switch {
	case m.Path != f.watch.Path:
		return fmt.Errorf("of %s", m.Path)
	case m.Index < f.index || m.Index == f.index && !m.Reset:
		return fmt.Errorf("index %d after %d", m.Index, f.index)
	case m.Reset && (m.Items == nil || len(m.Added)+len(m.Updated)+len(m.Removed) > 0):
		return fmt.Errorf("a reset at index %d with a difference or without items", m.Index)
	case !m.Reset && len(m.Added)+len(m.Updated)+len(m.Removed) == 0:
		return fmt.Errorf("nothing, at index %d", m.Index)
	case m.Reset:
		f.known, f.sure = slices.Clone(m.Items), true
	case f.watch.Answer == nil && !f.sure:
		return fmt.Errorf("a difference at index %d, and no reset before", m.Index)
	case !f.sure && m.Items != nil: // what came before is not known
		f.known, f.sure = slices.Clone(m.Items), true
	case !f.sure:
		return fmt.Errorf("a difference at index %d from nothing", m.Index)
	default:
		if err := f.apply(m); err != nil {
			return fmt.Errorf("at index %d, %w", m.Index, err)
		}
	}
	if m.Items != nil && !slices.EqualFunc(f.known, m.Items, same) {
		return fmt.Errorf("at index %d items %s, and a difference that gives %s", m.Index, describe(m.Items), describe(f.known))
	}
	f.index, f.etag = m.Index, m.ETag
	return nil
}

func (f *follower) apply(m *Message) error {
	for _, it := range m.Removed {
		i := find(f.known, it.Version)
		if i < 0 {
			return fmt.Errorf("that %d is removed, which was not there", it.Version)
		}
		if f.known[i].Session != it.Session {
			return fmt.Errorf("that %d of session %s is removed, which is of %s", it.Version, it.Session, f.known[i].Session)
		}
		f.known = slices.Delete(f.known, i, i+1)
	}
	for _, it := range m.Updated {
		i := find(f.known, it.Version)
		if i < 0 || f.known[i].Updated >= it.Updated {
			return fmt.Errorf("that %d is updated at %d", it.Version, it.Updated)
		}
		f.known[i] = it
	}
	for _, it := range m.Added {
		if n := len(f.known); n > 0 && f.known[n-1].Version >= it.Version {
			return fmt.Errorf("that %d is added behind %d", it.Version, f.known[n-1].Version)
		}
		f.known = append(f.known, it)
	}
	if limit := f.watch.Limit; limit >= 0 && len(f.known) > limit {
		return fmt.Errorf("%d items to a watch of %d", len(f.known), limit)
	}
	return nil
}

// caughtUp has a watch that is still there know the final state.
func (c *checker) caughtUp(f *follower) {
	w := f.watch
	if !w.Live || !f.sure {
		return
	}
	for _, p := range c.Peers {
		final := p.Lists[w.Path].Items
		if w.Limit >= 0 {
			final = final[:min(w.Limit, len(final))]
		}
		if !slices.EqualFunc(f.known, final, same) {
			c.violate(WatchBehind, nil, "%s, watching %s with limit %d, was told at last of index %d, %s; at %s the list is %s",
				w.Connection, w.Path, w.Limit, f.index, describe(f.known), p.Name, describe(final))
			return
		}
	}
}

// checkReasons has items leave only for what happened.
func (c *checker) checkReasons(w *Watch, m *Message) {
	for _, it := range m.Removed {
		var why bool
		switch it.Reason {
		case vera.Removed.String():
			why = slices.ContainsFunc(c.Operations, func(o *Operation) bool {
				return o.Action == vera.ActionRemove && o.Version == it.Version && o.Path == w.Path && o.Called.Before(m.Seen)
			})
		case vera.Closed.String():
			why = slices.ContainsFunc(c.Lives, func(l *Life) bool {
				return l.Session == it.Session && (l.Leaving.Before(m.Seen) || l.Parting.Before(m.Seen))
			})
		case vera.Expired.String(), vera.Ended.String():
			why = true
		}
		if !why {
			c.violate(WrongReason, nil, "%s, watching %s, was told at index %d that %d of session %s left as %q, for which there was no reason",
				w.Connection, w.Path, m.Index, it.Version, it.Session, it.Reason)
		}
	}
}

// find returns the place of a version, -1 when it is not there.
func find(items []Item, version uint64) int {
	return slices.IndexFunc(items, func(it Item) bool { return it.Version == version })
}

// describe is items in short.
func describe(items []Item) string {
	if len(items) == 0 {
		return "empty"
	}
	text := ""
	for i, it := range items {
		if i == 20 {
			return text + fmt.Sprintf(" and %d more", len(items)-i)
		}
		text += fmt.Sprintf(" %d", it.Version)
		if it.Updated != 0 {
			text += fmt.Sprintf("(%d)", it.Updated)
		}
	}
	return text[1:]
}
