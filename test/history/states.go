package history

import (
	"cmp"
	"fmt"
	"slices"

	"vera"
)

// list is what is known of one list.
type list struct {
	path      string
	sightings []*sighting // in the order of their indexes
	pushes    []*push
}

// sighting is a list as somebody was told that it was at one index.
type sighting struct {
	index uint64
	since uint64 // it has been so since this index; 0: not known, since it is empty
	items []Item // the first ones
	total int    // of all; less than 0: not known
	seen  Moment
	by    *Operation // nil: told otherwise
	who   string     // by whom
}

// theLog is who tells of what the log did.
const theLog = "the log"

// all says whether nothing was left out.
func (s *sighting) all() bool { return s.total == len(s.items) }

// shows says whether a version would be among the items if it were on the list.
func (s *sighting) shows(version uint64) bool {
	return s.all() || len(s.items) > 0 && s.items[len(s.items)-1].Version >= version
}

func (s *sighting) String() string {
	text := fmt.Sprintf("%s at index %d: etag %d, %s", s.who, s.index, s.since, describe(s.items))
	if !s.all() {
		text += fmt.Sprintf(" of %d", s.total)
	}
	return text
}

// operations is who told.
func operations(all ...*sighting) []*Operation {
	var list []*Operation
	for _, s := range all {
		if s.by != nil {
			list = append(list, s.by)
		}
	}
	return list
}

// list returns what is known of a list.
func (c *checker) list(path string) *list {
	l := c.lists[path]
	if l == nil {
		l = &list{path: path}
		c.lists[path] = l
	}
	return l
}

func (c *checker) see(path string, s sighting) {
	l := c.list(path)
	l.sightings = append(l.sightings, &s)
}

// watched keeps a state that a watcher was told.
func (c *checker) watched(f *follower, seen Moment) {
	w := f.watch
	total := len(f.known)
	if w.Limit >= 0 && total >= w.Limit {
		total = -1
	}
	c.see(w.Path, sighting{index: f.index, since: f.etag, items: slices.Clone(f.known), total: total, seen: seen, who: w.Connection + ", watching,"})
}

// collect gathers all that was told of lists.
func (c *checker) collect() {
	for _, o := range c.Operations {
		if o.listed() && o.Path != string(vera.PeersPath) {
			c.see(o.Path, sighting{index: o.Answer.Index, since: o.Answer.ETag, items: o.Answer.Items, total: o.Answer.Total, seen: o.Returned, by: o, who: o.Connection})
		}
	}
	end := Moment{Seq: int(^uint(0) >> 1)}
	for _, p := range c.Peers {
		for path, l := range p.Lists {
			c.see(path, sighting{index: p.Index, since: l.ETag, items: l.Items, total: len(l.Items), seen: end, who: p.Name + ", in the end,"})
		}
		for path, l := range c.lists { // not among a peer's lists: empty there
			if _, has := p.Lists[path]; !has {
				l.sightings = append(l.sightings, &sighting{index: p.Index, seen: end, who: p.Name + ", in the end,"})
			}
		}
	}
	for _, change := range c.Log {
		c.see(change.Path, sighting{index: change.Index, since: change.Index, items: change.Items, total: len(change.Items), seen: change.Seen, who: theLog})
	}
	for _, l := range c.lists {
		slices.SortStableFunc(l.sightings, func(a, b *sighting) int { return cmp.Compare(a.index, b.index) })
	}
}

// state is a list from one change to the next, as far as is known.
type state struct {
	*sighting        // the fullest
	until     uint64 // the highest index at which it was told
}

// checkStates has everybody tell the same of a list.
func (c *checker) checkStates() {
	for _, change := range c.torn {
		c.violate(Diverged, nil, "one peer made of entry %d that %s is %s, and another that it is not", change.Index, change.Path, describe(change.Items))
	}
	for _, l := range c.lists {
		states := c.states(l)
		for _, s := range l.sightings {
			c.checkState(l, states, s)
		}
		c.checkHeads(l)
	}
	c.checkVersions()
}

// states returns the states of a list that have a known beginning, in order.
func (c *checker) states(l *list) []*state {
	known := map[uint64]*state{}
	var all []*state
	for _, s := range l.sightings {
		if s.since == 0 {
			continue
		}
		at := known[s.since]
		if at == nil {
			at = &state{s, s.index}
			known[s.since] = at
			all = append(all, at)
		}
		at.until = max(at.until, s.index)
		if len(s.items) > len(at.items) || s.all() && !at.all() {
			at.sighting = s
		}
	}
	slices.SortFunc(all, func(a, b *state) int { return cmp.Compare(a.since, b.since) })
	return all
}

// checkState compares one sighting with what else is known of that index.
func (c *checker) checkState(l *list, states []*state, s *sighting) {
	i, found := slices.BinarySearchFunc(states, s.index, func(s *state, index uint64) int { return cmp.Compare(s.since, index) })
	if !found {
		i--
	}
	if s.since > s.index {
		c.violate(Diverged, operations(s), "%s: %s: it changed after the index", l.path, s)
		return
	}
	if i < 0 {
		if s.since == 0 && s.total > 0 || c.Complete && s.total != 0 {
			c.violate(Diverged, operations(s), "%s: %s: it had never been changed", l.path, s)
		}
		return
	}
	at := states[i]
	switch {
	case s.since != 0 && at.since != s.since:
		c.violate(Diverged, operations(s, at.sighting), "%s: %s: but it changed at %d, %s", l.path, s, at.since, at.sighting)
	case s.since == 0 && (at.until >= s.index || c.Complete) && at.total != 0:
		c.violate(Diverged, operations(s, at.sighting), "%s: %s: but from %d to %d it held something, %s", l.path, s, at.since, at.until, at.sighting)
	case s.since != 0 && !agree(s, at.sighting):
		c.violate(Diverged, operations(s, at.sighting), "%s: %s: but also %s", l.path, s, at.sighting)
	}
}

// agree says whether two sightings of one state can both be true.
func agree(a, b *sighting) bool {
	n := min(len(a.items), len(b.items))
	if !slices.EqualFunc(a.items[:n], b.items[:n], same) {
		return false
	}
	if a.total >= 0 && b.total >= 0 && a.total != b.total {
		return false
	}
	return (a.total < 0 || len(b.items) <= a.total) && (b.total < 0 || len(a.items) <= b.total)
}

// checkHeads has a list's head never be an older item than it was.
func (c *checker) checkHeads(l *list) {
	var head *sighting
	for _, s := range l.sightings {
		if !slices.IsSortedFunc(s.items, func(a, b Item) int { return cmp.Compare(a.Version, b.Version) }) {
			c.violate(HeadFell, operations(s), "%s: %s: not in the order of versions", l.path, s)
		}
		if len(s.items) == 0 {
			continue
		}
		if head != nil && s.items[0].Version < head.items[0].Version {
			c.violate(HeadFell, operations(head, s), "%s: %s, and then %s", l.path, head, s)
		}
		head = s
	}
}

// checkVersions has each version name one item.
func (c *checker) checkVersions() {
	type owner struct{ path, session string }
	owners := map[uint64]owner{}
	for _, l := range c.lists {
		for _, s := range l.sightings {
			for _, it := range s.items {
				now := owner{l.path, it.Session}
				if was, known := owners[it.Version]; known && was != now {
					c.violate(VersionTwice, operations(s), "%d is an item of session %s on %s, and one of session %s on %s", it.Version, was.session, was.path, it.Session, l.path)
				}
				owners[it.Version] = now
			}
		}
	}
}
