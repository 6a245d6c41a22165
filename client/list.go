package client

import (
	"bytes"
	"cmp"
	"slices"
)

// list is a list as it was at one index. It is never changed: what changes is
// which one is the latest.
type list struct {
	index uint64
	etag  string
	items []Item
	total int // items on the whole list, when it is known that a limit left some out; else 0
	limit int // with which it was asked for; noLimit: none
}

// noLimit stands for a wish without a limit.
const noLimit = -1

// after returns the list as a notification tells it. Its difference is one to
// this list; with a reset this list does not matter.
func (l *list) after(n Notification) *list {
	next := &list{index: n.Index, etag: n.ETag, limit: l.limit, items: n.Items}
	if n.Items != nil || n.Reset {
		return next
	}
	changed := make(map[uint64]*Item, len(n.Updated)+len(n.Removed))
	for i := range n.Updated {
		changed[n.Updated[i].Version] = &n.Updated[i]
	}
	for i := range n.Removed {
		changed[n.Removed[i].Version] = nil
	}
	next.items = make([]Item, 0, len(l.items)+len(n.Added))
	for _, item := range l.items {
		switch new, is := changed[item.Version]; {
		case !is:
			next.items = append(next.items, item)
		case new != nil:
			next.items = append(next.items, *new)
		}
	}
	next.items = append(next.items, n.Added...)
	slices.SortStableFunc(next.items, func(a, b Item) int { return cmp.Compare(a.Version, b.Version) })
	return next
}

// covers says whether the list shows all that one sees with a limit.
func (l *list) covers(limit int) bool {
	return l.limit == noLimit || limit != noLimit && limit <= l.limit
}

// first returns the list as one sees it who wants the first n items only.
func (l *list) first(n int) *list {
	if n == noLimit || len(l.items) <= n {
		return l
	}
	cut := *l
	cut.items = l.items[:n:n]
	if l.limit == noLimit {
		cut.total = len(l.items)
	}
	return &cut
}

// difference returns what makes one list of another, each part in the order of
// its list. Of what was removed it says why, where that is known.
func difference(from, to []Item, reasons map[uint64]string) (added, updated, removed []Item) {
	known := make(map[uint64]*Item, len(from))
	for i := range from {
		known[from[i].Version] = &from[i]
	}
	for _, item := range to {
		old := known[item.Version]
		delete(known, item.Version)
		switch {
		case old == nil:
			added = append(added, item)
		case old.Updated != item.Updated || old.Owner != item.Owner || !bytes.Equal(old.Data, item.Data):
			updated = append(updated, item)
		}
	}
	for _, item := range from {
		if _, is := known[item.Version]; is {
			removed = append(removed, Item{Version: item.Version, Session: item.Session, Reason: reasons[item.Version]})
		}
	}
	return added, updated, removed
}
