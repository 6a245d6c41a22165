package clients

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"vera/client"
)

// told is what an actor was told of a watched list. It is its actor's.
type told struct {
	path  string
	actor *actor
	items []client.Item
	index uint64
	times int
	at    time.Time // of the last
	wrong error     // what was told first that must not be
}

// take folds one more difference. Only the first thing told may begin anew.
func (w *told) take(n *client.Notification) {
	w.times++
	w.at = time.Now()
	if err := w.folds(n); err != nil && w.wrong == nil {
		w.wrong = fmt.Errorf("notification %d, index %d after %d: %w", w.times, n.Index, w.index, err)
	}
	w.items, w.index = n.Items, n.Index
}

func (w *told) folds(n *client.Notification) error {
	switch {
	case n.Reset != (w.times == 1):
		return fmt.Errorf("reset is %v", n.Reset)
	case n.Index < w.index:
		return fmt.Errorf("it is older")
	case w.times > 1 && len(n.Added)+len(n.Updated)+len(n.Removed) == 0:
		return fmt.Errorf("it tells nothing")
	}
	known := map[uint64]client.Item{}
	for _, item := range w.items {
		known[item.Version] = item
	}
	for _, item := range n.Removed {
		if _, is := known[item.Version]; !is {
			return fmt.Errorf("removed is %d, which was not there", item.Version)
		}
		delete(known, item.Version)
	}
	for _, item := range n.Updated {
		if was, is := known[item.Version]; !is || same(was, item) {
			return fmt.Errorf("updated is %d, which was there: %v", item.Version, is)
		}
		known[item.Version] = item
	}
	for _, item := range n.Added {
		if _, is := known[item.Version]; is {
			return fmt.Errorf("added is %d, which was there", item.Version)
		}
		known[item.Version] = item
	}
	var folded []client.Item
	for _, item := range known {
		folded = append(folded, item)
	}
	slices.SortFunc(folded, func(a, b client.Item) int { return cmp.Compare(a.Version, b.Version) })
	if !slices.EqualFunc(folded, n.Items, same) {
		return fmt.Errorf("the difference gives %v, told is %v", versions(folded), versions(n.Items))
	}
	return nil
}

func same(a, b client.Item) bool {
	return a.Version == b.Version && a.Updated == b.Updated && bytes.Equal(a.Data, b.Data)
}

func versions(items []client.Item) (all []uint64) {
	for _, item := range items {
		all = append(all, item.Version)
	}
	return all
}

// next waits until something is told that was not told before a moment, and
// returns how long after it.
func (w *told) next(since time.Time) (took time.Duration) {
	w.actor.t.Helper()
	wait(w.actor.t, w.actor.name+" to be told of "+w.path, func() error {
		w.actor.mu.Lock()
		defer w.actor.mu.Unlock()
		if took = w.at.Sub(since); took < 0 {
			return errors.New("it was not")
		}
		return nil
	})
	return took
}

// becomes waits until what was told is a list.
func (w *told) becomes(t testing.TB, items []client.Item) {
	t.Helper()
	wait(t, w.actor.name+" to be told what "+w.path+" is", func() error {
		w.actor.mu.Lock()
		defer w.actor.mu.Unlock()
		if !slices.EqualFunc(w.items, items, same) {
			return fmt.Errorf("told is %v, the list is %v", versions(w.items), versions(items))
		}
		return nil
	})
}
