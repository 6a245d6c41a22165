package client

import (
	"slices"
	"time"

	"vera"
)

// watched is a list that a client watches, for as many as want it. It belongs
// to the client's loop.
type watched struct {
	path    string
	takers  []*taker
	shown   *list             // as it was told last; nil: not yet
	reasons map[uint64]string // why items went that some taker may not have heard of yet
	pruned  int               // how many reasons were left when they were last looked through
	retry   time.Duration     // it is not asked for again before
}

// taker is one who wants to be told of a list.
type taker struct {
	limit int   // only the first items; noLimit: all
	last  *list // what it was told last; nil: nothing
	news  func(*watched)
	fail  func(error)
}

// wish returns the limit that serves all takers.
func (w *watched) wish() int {
	most := 0
	for _, t := range w.takers {
		if t.limit == noLimit {
			return noLimit
		}
		most = max(most, t.limit)
	}
	return most
}

// show makes a list what is shown, unless something later is. The list of
// peers tells what a peer knows, so there the latest word counts.
func (w *watched) show(l *list) {
	if w.shown != nil && l.index < w.shown.index && w.path != string(vera.PeersPath) {
		return
	}
	w.shown = l
	for _, t := range w.takers {
		t.news(w)
	}
	w.prune()
}

// removed remembers why items went.
func (w *watched) removed(items []Item) {
	for _, item := range items {
		if w.reasons == nil {
			w.reasons = map[uint64]string{}
		}
		w.reasons[item.Version] = item.Reason
	}
}

// prune forgets the reasons that nobody will ask for, when they have become
// twice as many as the last time: so they are never more than twice those
// items that were told to somebody who has not heard of their going.
func (w *watched) prune() {
	if len(w.reasons) < 2*w.pruned+16 {
		return
	}
	asked := map[uint64]string{}
	for _, t := range w.takers {
		if t.last == nil {
			continue
		}
		for _, item := range t.last.items {
			if reason, is := w.reasons[item.Version]; is {
				asked[item.Version] = reason
			}
		}
	}
	w.reasons, w.pruned = asked, len(asked)
}

// take returns what a taker has not been told yet; false when that is nothing.
func (t *taker) take(w *watched) (n Notification, news bool) {
	if w.shown == nil || !w.shown.covers(t.limit) {
		return n, false
	}
	now := w.shown.first(t.limit)
	n = Notification{Action: vera.ActionNotify, Path: w.path, Index: now.index, ETag: now.etag, Items: now.items, Total: now.total}
	if t.last == nil {
		t.last = now
		n.Added, n.Reset = now.items, true
		return n, true
	}
	n.Added, n.Updated, n.Removed = difference(t.last.items, now.items, w.reasons)
	news = len(n.Added)+len(n.Updated)+len(n.Removed) > 0 || !slices.EqualFunc(t.last.items, now.items, func(a, b Item) bool { return a.Version == b.Version })
	t.last = now
	return n, news
}

// request returns what asks for it. What is known already need not be told
// again.
func (w *watched) request() request {
	no := false
	r := request{Action: vera.ActionWatch, Path: w.path}
	if w.path != string(vera.PeersPath) {
		r.Items = &no
	}
	if limit := w.wish(); limit != noLimit {
		r.Limit = &limit
	}
	if w.shown != nil && w.shown.limit == w.wish() && w.path != string(vera.PeersPath) {
		r.Since = w.shown.index
	}
	return r
}
