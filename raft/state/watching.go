package state

import (
	"fmt"
	"slices"
	"strings"

	"vera"
)

// leftPaths is of how many lists that a session watches no more it is known
// since which arrival.
const leftPaths = 64

// order says how new the last change of a path's watch is: the arrival of the
// connection that it, or one before it, was asked for on.
//
// A session moves to another peer while a change that it asked for where it
// was before waits for the log. The arrival of its new connection is after a
// barrier, so that peer cannot have known of it. A peer that knew is not late:
// its client has two connections, and the log says which change came last.
type order struct {
	path    vera.Path
	arrival uint64 // above 0
}

// late says whether a change of a watch was asked for before the connection
// arrived on which the path's watch was changed already. Its peer took the
// change for made, so it is told.
func (w *world) late(s *session, c *Command) bool {
	place, found := s.newest().facts.order(c.Path)
	if !found || c.Known >= s.newest().facts.orders[place].arrival {
		return false
	}
	w.tell(s, SessionChange{What: Rewatched})
	return true
}

func (w *world) watch(s *session, c *Command) Reply {
	if w.late(s, c) {
		return Reply{Code: vera.OK}
	}
	f := s.newest().facts
	place, found := f.watch(c.Path)
	if count := len(f.watches); !found && count >= c.SessionWatches {
		return Reply{Code: vera.TooManyRequests, Message: fmt.Sprintf("path: watches of the session: %d; the limit, max-session-watches, is %d", count, c.SessionWatches)}
	}
	same := found && f.watches[place] == vera.Watched{Path: c.Path, Limit: c.Limit, Items: c.Items}
	if same && !f.newer(c) {
		return Reply{Code: vera.OK}
	}
	f = w.draftFacts(s)
	if !found {
		path := vera.Path(strings.Clone(string(c.Path)))
		f.watches = slices.Insert(f.watches, place, vera.Watched{Path: path})
		w.watchCount.Add(1)
	}
	f.watches[place].Limit, f.watches[place].Items = c.Limit, c.Items
	f.note(f.watches[place].Path, c.Arrival)
	if !same {
		w.tellOthers(s)
	}
	return Reply{Code: vera.OK}
}

func (w *world) unwatch(s *session, c *Command) Reply {
	if w.late(s, c) {
		return Reply{Code: vera.OK}
	}
	f := s.newest().facts
	place, found := f.watch(c.Path)
	if !found && !f.newer(c) {
		return Reply{Code: vera.OK}
	}
	f = w.draftFacts(s)
	if found {
		f.watches = slices.Delete(f.watches, place, place+1)
		w.watchCount.Add(-1)
		w.tellOthers(s)
	}
	f.note(vera.Path(strings.Clone(string(c.Path))), c.Arrival)
	if left, oldest := f.left(); left > leftPaths {
		f.orders = slices.Delete(f.orders, oldest, oldest+1)
	}
	return Reply{Code: vera.OK}
}

// tellOthers tells of changed watches, if a peer other than the one that
// changed them has a client of the session.
func (w *world) tellOthers(s *session) {
	if slices.ContainsFunc(s.newest().facts.attachments, func(a Attachment) bool { return a.Peer != w.header.peer }) {
		w.tell(s, SessionChange{What: Rewatched})
	}
}

// newer says whether a command's arrival is after those that the watch of its
// path was changed on.
func (f *facts) newer(c *Command) bool { return c.Arrival > f.changed(c.Path) }

// changed is the newest arrival that the watch of a path was changed on; 0
// when there is none to compare with.
func (f *facts) changed(p vera.Path) uint64 {
	if place, found := f.order(p); found {
		return f.orders[place].arrival
	}
	return 0
}

func (f *facts) order(p vera.Path) (place int, found bool) {
	return slices.BinarySearchFunc(f.orders, p, func(o order, p vera.Path) int {
		return strings.Compare(string(o.path), string(p))
	})
}

// note takes note of the arrival that a watch is changed on. The path is kept.
func (f *facts) note(p vera.Path, arrival uint64) {
	place, found := f.order(p)
	switch {
	case found:
		f.orders[place].arrival = max(f.orders[place].arrival, arrival)
	case arrival > 0:
		f.orders = slices.Insert(f.orders, place, order{p, arrival})
	}
}

// left counts the paths that are not watched and have an order, and says where
// the oldest order is, of equal ones the first.
func (f *facts) left() (count, oldest int) {
	next := 0
	for i, o := range f.orders {
		for next < len(f.watches) && f.watches[next].Path < o.path {
			next++
		}
		if next < len(f.watches) && f.watches[next].Path == o.path {
			continue
		}
		if count == 0 || o.arrival < f.orders[oldest].arrival {
			oldest = i
		}
		count++
	}
	return count, oldest
}
