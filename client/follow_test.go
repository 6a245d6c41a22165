package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// collected is what a watcher was told, followed as any user would.
type collected struct {
	path   string
	limit  int
	mu     sync.Mutex
	known  []Item
	told   int
	first  int // items that were told first
	resets int
	last   uint64
	wrong  error
	ended  error
	gone   map[uint64]string
}

// collect watches a list until the client is closed, taking when it likes.
func collect(c *Client, path string, options ...Option) *collected {
	f := &collected{path: path, limit: noLimit, gone: map[uint64]string{}}
	wanted := request{}
	for _, option := range options {
		option(&wanted)
	}
	if wanted.Limit != nil {
		f.limit = *wanted.Limit
	}
	go func() {
		for n, err := range c.Watch(context.Background(), path, options...) {
			f.mu.Lock()
			f.ended = err
			f.follow(n)
			f.mu.Unlock()
		}
	}()
	synctest.Wait()
	return f
}

func (f *collected) follow(n Notification) {
	if f.ended != nil {
		return
	}
	if f.told++; f.told == 1 {
		f.first = len(n.Items)
	}
	if n.Reset {
		f.resets++
	}
	if n.Index < f.last {
		f.wrong = fmt.Errorf("told of index %d after %d", n.Index, f.last)
	}
	f.last = n.Index
	l := (&list{items: f.known}).after(Notification{Added: n.Added, Updated: n.Updated, Removed: n.Removed})
	for _, item := range n.Removed {
		f.gone[item.Version] = item.Reason
	}
	f.known = l.items
	added, updated, removed := difference(f.known, n.Items, nil)
	if len(added)+len(updated)+len(removed) > 0 {
		f.wrong = fmt.Errorf("the differences give %v, the items are %v", f.known, n.Items)
	}
	for _, item := range n.Updated {
		if item.Updated == 0 {
			f.wrong = fmt.Errorf("%d is said to be updated and is not", item.Version)
		}
	}
}

// is says whether what was told is the list as it is, told without a reset but
// the first.
func (f *collected) is(t *testing.T, w *world) {
	t.Helper()
	synctest.Wait()
	var truth []Item
	w.do(func() { truth = slices.Clone(w.list(f.path)) })
	if f.limit != noLimit && len(truth) > f.limit {
		truth = truth[:f.limit]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	added, updated, removed := difference(f.known, truth, nil)
	if len(added)+len(updated)+len(removed) > 0 || f.wrong != nil || f.ended != nil || f.resets != 1 {
		t.Errorf("told %d times, %d resets, to be %v; is %v: %v, %v", f.told, f.resets, f.known, truth, f.wrong, f.ended)
	}
}

// changing is a client whose own items change while peers die.
type changing struct {
	t        *testing.T
	w        *world
	c        *Client
	random   *rand.Rand
	watchers []*collected
	handles  []*Handle
}

// step has something happen.
func (s *changing) step(i int) {
	name := s.w.names[s.random.IntN(3)]
	var err error
	switch what := s.random.IntN(9); {
	case what == 0:
		s.w.kill(name)
		s.w.do(func() { s.w.dead[name] = false })
	case what == 1:
		s.w.lead(name)
	case what == 2 && len(s.handles) > 0:
		at := s.random.IntN(len(s.handles))
		err = s.handles[at].Remove(s.t.Context())
		s.handles = slices.Delete(s.handles, at, at+1)
	case what == 3 && len(s.handles) > 0:
		_, err = s.handles[s.random.IntN(len(s.handles))].Update(s.t.Context(), numbered{i})
	case what == 4 && len(s.watchers) < 6:
		var options []Option
		if limit := s.random.IntN(4); limit > 0 {
			options = []Option{Limit(limit)}
		}
		s.watchers = append(s.watchers, collect(s.c, "/data/a", options...))
	default:
		var h *Handle
		h, _, err = s.c.Push(s.t.Context(), "/data/a", numbered{i})
		s.handles = append(s.handles, h)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestWatchesAreExactWhoeverDies(t *testing.T) {
	for seed := range uint64(20) {
		inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
			o := w.options()
			o.Local = seed%2 == 0
			s := &changing{t: t, w: w, random: rand.New(rand.NewPCG(seed, 2)), c: w.connect(o, "a", "b", "c")}
			for i := range 80 {
				s.step(i)
				if s.random.IntN(4) == 0 {
					pass(time.Duration(s.random.IntN(400)) * time.Millisecond)
				}
			}
			pass(20 * time.Second)
			for _, f := range append(s.watchers, collect(s.c, "/vera/peers")) {
				f.is(t, w)
			}
			s.c.Close()
			synctest.Wait()
			for _, f := range s.watchers {
				if !errors.Is(f.ended, ErrClosed) {
					t.Errorf("the watch ended with %v", f.ended)
				}
			}
		})
	}
}

func TestASlowTakerIsToldAtOnceAndWhy(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a")
		var handles []*Handle
		for i := range 100 {
			h, _, err := c.Push(t.Context(), "/data/a", numbered{i})
			if err != nil {
				t.Fatal(err)
			}
			handles = append(handles, h)
		}
		told := 0
		for n, err := range c.Watch(t.Context(), "/data/a") {
			if err != nil {
				t.Fatal(err)
			}
			if told++; told == 1 {
				if !n.Reset || len(n.Added) != 100 || len(n.Items) != 100 {
					t.Fatalf("first told %+v", n)
				}
				for i, h := range handles {
					if i%2 == 0 && h.Remove(t.Context()) != nil {
						t.Fatal("not removed")
					}
					if _, _, err := c.Push(t.Context(), "/data/a", numbered{1000 + i}); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				continue
			}
			if n.Reset || len(n.Added) != 100 || len(n.Removed) != 50 || len(n.Items) != 150 || n.Removed[0].Reason != "removed" {
				t.Fatalf("then told %d added, %d removed, reset %v", len(n.Added), len(n.Removed), n.Reset)
			}
			break
		}
		pass(time.Second)
		w.do(func() {
			for cookie, life := range w.lives {
				if _, still := life.watches["/data/a"]; still {
					t.Errorf("%s watches still", cookie)
				}
			}
		})
		c.Close()
	})
}

func TestWatchesOfOneListAreOne(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a")
		for i := range 5 {
			if _, _, err := c.Push(t.Context(), "/data/a", numbered{i}); err != nil {
				t.Fatal(err)
			}
		}
		two, one, all := collect(c, "/data/a", Limit(2)), collect(c, "/data/a", Limit(1)), collect(c, "/data/a")
		none := collect(c, "/data/a", Limit(4), NoItems())
		for _, f := range []*collected{two, one, all} {
			f.is(t, w)
		}
		if two.first != 2 || one.first != 1 || all.first != 5 {
			t.Errorf("first told of %d, %d and %d items, want 2, 1 and 5", two.first, one.first, all.first)
		}
		if got := len(none.known); got != 4 {
			t.Errorf("told of %d items, want 4", got)
		}
		var limits []int
		w.do(func() {
			for _, h := range w.heard {
				if h.Action == "watch" && h.Path == "/data/a" {
					if h.Items == nil || *h.Items {
						t.Error("all items were asked for")
					}
					limits = append(limits, noLimit)
					if h.Limit != nil {
						limits[len(limits)-1] = *h.Limit
					}
				}
			}
		})
		if !slices.Equal(limits, []int{2, noLimit}) {
			t.Errorf("asked for with the limits %v", limits)
		}
		c.Close()
	})
}

func TestWhoWantsMoreWaitsForMore(t *testing.T) {
	w := &watched{shown: &list{limit: 1, items: []Item{{Version: 1}}}}
	for limit, want := range map[int]bool{1: true, 0: true, 2: false, noLimit: false} {
		taken := &taker{limit: limit}
		if _, news := taken.take(w); news != want {
			t.Errorf("of a list that is known to its first item, one who wants %d is told: %v", limit, news)
		}
	}
}

// TestAPeerThatIsLateTakesNothingBack listens to one peer and then to another
// that is behind it. The loop does not run: the test is the loop.
func TestAPeerThatIsLateTakesNothingBack(t *testing.T) {
	c := newClient([]string{"http://a"}, Options{clock: func() time.Duration { return time.Hour }})
	defer c.cancel()
	items := func(versions ...uint64) (all []Item) {
		for _, v := range versions {
			all = append(all, Item{Version: v})
		}
		return all
	}
	w := c.watch("/data/a")
	taken := &taker{limit: noLimit, news: func(*watched) {}, fail: func(error) {}}
	w.takers = []*taker{taken}
	first, second := &link{place: &place{}, told: map[string]*list{}}, &link{place: &place{}, told: map[string]*list{}}
	tell := func(l *link, n Notification, want ...uint64) {
		t.Helper()
		n.Path = "/data/a"
		c.told(l, n)
		taken.take(w)
		if got := taken.last; len(got.items) != len(want) || len(want) > 0 && got.items[len(want)-1].Version != want[len(want)-1] {
			t.Errorf("at %d told %v, want %v", n.Index, got.items, want)
		}
	}
	c.listen(first)
	tell(first, Notification{Index: 8, Reset: true, Items: items(1, 2)}, 1, 2)
	tell(first, Notification{Index: 10, Added: items(3), Removed: items(1)}, 2, 3)
	tell(second, Notification{Index: 8, Reset: true, Items: items(1, 2)}, 2, 3)
	c.listen(second)
	tell(second, Notification{Index: 9, Removed: items(1)}, 2, 3)
	tell(second, Notification{Index: 10, Added: items(3)}, 2, 3)
	tell(first, Notification{Index: 12, Added: items(12)}, 2, 3)
	tell(second, Notification{Index: 12, Added: items(12), Removed: items(2)}, 3, 12)
}
