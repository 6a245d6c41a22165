package client

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"vera"

	"pgregory.net/rapid"
)

func TestNotificationsComeInOrderAndThenTheEnd(t *testing.T) {
	url := pretend(t, func(t *testing.T, s *stage) {
		s.say(`{"action":"notify","path":"/data/a","index":3,"etag":"3","items":[]}`) // of an older watch
		a, _ := s.next()
		s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","index":4,"etag":"4","items":[]}`, a.RID))
		for index := 5; index < 10; index++ {
			s.say(fmt.Sprintf(`{"action":"notify","path":"/data/a","index":%d,"etag":"%d","items":[]}`, index, index))
		}
		s.socket.Close(4000, "ended")
	})
	c := dial(t, url, Options{})
	w, l, err := c.Watch(t.Context(), "/data/a")
	if err != nil || l.Index != 4 || w.Path() != "/data/a" {
		t.Fatalf("%+v, %v", l, err)
	}
	var told []uint64
	for n, err := range w.All(t.Context()) {
		if err != nil {
			if over, is := errors.AsType[*Closed](err); !is || over.Code != vera.CloseEnded {
				t.Errorf("ended with %v", err)
			}
			break
		}
		told = append(told, n.Index)
	}
	if !slices.Equal(told, []uint64{5, 6, 7, 8, 9}) {
		t.Errorf("told %v", told)
	}
}

func TestResumedWatchKeepsWhatCameBeforeItWasAskedFor(t *testing.T) {
	url := pretend(t, func(t *testing.T, s *stage) {
		s.say(`{"action":"notify","path":"/data/a","index":3,"etag":"2","reset":true,"items":[]}`)
		a, _ := s.next()
		s.say(fmt.Sprintf(`{"rid":%d,"code":"OK"}`, a.RID))
		s.linger()
	})
	c := dial(t, url, Options{})
	if err := c.Unwatch(t.Context(), "/data/other"); err != nil {
		t.Fatal(err)
	}
	n, err := c.Watched("/data/a").Next(t.Context())
	if err != nil || !n.Reset || n.Index != 3 || n.Items == nil {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestUnwatchEndsTheWatch(t *testing.T) {
	url := pretend(t, func(t *testing.T, s *stage) {
		for range 2 {
			a, _ := s.next()
			s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","index":4,"etag":"4","items":[]}`, a.RID))
			s.say(`{"action":"notify","path":"/data/a","index":5,"etag":"5","items":[]}`)
		}
		s.linger()
	})
	c := dial(t, url, Options{})
	w, _, err := c.Watch(t.Context(), "/data/a", NoItems(), Since(3), Limit(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Unwatch(t.Context(), "/data/a"); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Next(t.Context()); err != nil || n.Index != 5 {
		t.Errorf("what waited: %+v, %v", n, err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrUnwatched) {
		t.Errorf("got %v", err)
	}
}

func TestSlowTakerHoldsUpNothingAndEndsInTheTrueState(t *testing.T) {
	const changes = 1000
	url := pretend(t, func(t *testing.T, s *stage) {
		a, _ := s.next()
		s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","index":1,"etag":"0","items":[]}`, a.RID))
		for index := 2; index < 2+changes; index++ {
			s.say(fmt.Sprintf(`{"action":"notify","path":"/data/a","index":%d,"etag":"%d","added":[{"version":%d}]}`, index, index, index))
		}
		a, _ = s.next()
		s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","index":2000,"etag":"0","items":[]}`, a.RID))
		s.linger()
	})
	c := dial(t, url, Options{Queue: 4})
	w, _, err := c.Watch(t.Context(), "/data/a", NoItems())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "/data/b"); err != nil { // answered behind a thousand untaken notifications
		t.Fatal(err)
	}
	var added []uint64
	notifications := 0
	for len(added) < changes {
		n, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		notifications++
		for _, item := range n.Added {
			added = append(added, item.Version)
		}
	}
	if notifications > 4 || !slices.IsSorted(added) || added[0] != 2 || added[changes-1] != changes+1 {
		t.Errorf("%d notifications added %d items, %d to %d", notifications, len(added), added[0], added[changes-1])
	}
}

// story is a list that changes, as the server would tell of it.
type story struct {
	index uint64
	items []Item
}

func (s *story) step(t *rapid.T) Notification {
	s.index++
	n := Notification{Path: "/data/a", Index: s.index, ETag: fmt.Sprint(s.index)}
	for i := range rapid.IntRange(0, 2).Draw(t, "added") {
		item := Item{Version: s.index*10 + uint64(i)}
		n.Added, s.items = append(n.Added, item), append(s.items, item)
	}
	for i := len(s.items) - 1 - len(n.Added); i >= 0; i-- {
		switch rapid.IntRange(0, 5).Draw(t, "what") {
		case 0:
			n.Removed = append(n.Removed, Item{Version: s.items[i].Version, Reason: "closed"})
			s.items = slices.Delete(slices.Clone(s.items), i, i+1)
		case 1:
			s.items = slices.Clone(s.items)
			s.items[i].Updated = s.index
			n.Updated = append(n.Updated, s.items[i])
		}
	}
	return n
}

// follow applies a notification as a client that keeps the list would.
func follow(t *rapid.T, known []Item, n Notification) []Item {
	if n.Reset {
		return slices.Clone(n.Items)
	}
	at := func(version uint64) (int, bool) {
		return slices.BinarySearchFunc(known, version, func(i Item, v uint64) int { return cmp.Compare(i.Version, v) })
	}
	for _, item := range n.Removed {
		i, is := at(item.Version)
		if !is {
			t.Fatalf("%d is removed and was never told", item.Version)
		}
		known = slices.Delete(known, i, i+1)
	}
	for _, item := range n.Updated {
		i, is := at(item.Version)
		if !is {
			t.Fatalf("%d is updated and was never told", item.Version)
		}
		known[i] = item
	}
	for _, item := range n.Added {
		if _, is := at(item.Version); is {
			t.Fatalf("%d is added twice", item.Version)
		}
		known = append(known, item)
	}
	if n.Items != nil && !slices.EqualFunc(n.Items, known, func(a, b Item) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("the differences give %v, the items are %v", known, n.Items)
	}
	return known
}

func TestMergedNotificationsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		withItems := rapid.Bool().Draw(t, "items")
		var truth story
		var queue []Notification
		var known []Item
		take := func() {
			known = follow(t, known, queue[0])
			queue = queue[1:]
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			n := truth.step(t)
			if withItems {
				n.Items = append([]Item{}, truth.items...)
			}
			if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
				n = Notification{Path: n.Path, Index: n.Index, ETag: n.ETag, Reset: true, Items: append([]Item{}, truth.items...)}
			}
			queue = queued(queue, n, limit)
			if len(queue) > limit+1 {
				t.Fatalf("%d wait, %d may", len(queue), limit)
			}
			if rapid.IntRange(0, 3).Draw(t, "take") == 0 {
				take()
			}
		}
		for len(queue) > 0 {
			take()
		}
		if len(known) != len(truth.items) || len(known) > 0 && !reflect.DeepEqual(known, truth.items) {
			t.Fatalf("told to be %v, is %v", known, truth.items)
		}
	})
}
