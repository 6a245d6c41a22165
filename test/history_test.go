package test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"vera/client"
)

// truth is every state that one list had, by its etag, as answers to those who
// changed it told.
type truth struct {
	mu     sync.Mutex
	states map[string][]client.Item
}

func newTruth() *truth {
	return &truth{states: map[string][]client.Item{"0": {}}}
}

// record keeps a state. Two different states under one etag cannot be.
func (h *truth) record(l client.Listing) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, is := h.states[l.ETag]; is && text(known) != text(l.Items) {
		return fmt.Errorf("etag %s was %s, and is %s", l.ETag, text(known), text(l.Items))
	}
	h.states[l.ETag] = l.Items
	return nil
}

// has says whether items are the first limit of the state of that etag; limit
// -1 is all.
func (h *truth) has(etag string, items []client.Item, limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	state, is := h.states[etag]
	if limit >= 0 {
		state = state[:min(limit, len(state))]
	}
	return is && text(shown(state)) == text(shown(items))
}

// shown makes nil and empty the same.
func shown(items []client.Item) []client.Item { return append([]client.Item{}, items...) }

// follower keeps a list by what it is told, and holds each notification to the
// promises: in order, exact, nothing told twice.
type follower struct {
	known []client.Item
	index uint64
	etag  string
	told  []client.Listing // the states that were told, the first one among them
}

// follow begins with the answer to a watch.
func follow(l client.Listing) *follower {
	f := &follower{known: shown(l.Items), index: l.Index, etag: l.ETag}
	f.told = append(f.told, l)
	return f
}

// take applies one notification.
func (f *follower) take(n client.Notification) error {
	if n.Index <= f.index && !n.Reset || n.Index < f.index {
		return fmt.Errorf("index %d came after %d", n.Index, f.index)
	}
	if n.Reset {
		if n.Items == nil || n.Added != nil || n.Updated != nil || n.Removed != nil {
			return fmt.Errorf("a reset has items and no difference: %s", text(n))
		}
		f.known = shown(n.Items)
	} else if err := f.apply(n); err != nil {
		return fmt.Errorf("%w in %s", err, text(n))
	}
	if n.Items != nil && text(f.known) != text(n.Items) {
		return fmt.Errorf("the difference gives %s, the items are %s", text(f.known), text(n.Items))
	}
	if !slices.IsSortedFunc(f.known, func(a, b client.Item) int { return int(a.Version) - int(b.Version) }) {
		return fmt.Errorf("not in the order of versions: %v", versions(f.known))
	}
	f.index, f.etag = n.Index, n.ETag
	f.told = append(f.told, client.Listing{Index: n.Index, ETag: n.ETag, Items: shown(f.known)})
	return nil
}

func (f *follower) apply(n client.Notification) error {
	if len(n.Added)+len(n.Updated)+len(n.Removed) == 0 {
		return fmt.Errorf("nothing is told")
	}
	at := func(version uint64) int {
		return slices.IndexFunc(f.known, func(i client.Item) bool { return i.Version == version })
	}
	for _, item := range n.Removed {
		i := at(item.Version)
		if i < 0 {
			return fmt.Errorf("%d is removed that was not there", item.Version)
		}
		if item.Reason == "" || item.Session != f.known[i].Session || item.Data != nil {
			return fmt.Errorf("%d is removed as %s", item.Version, text(item))
		}
		f.known = slices.Delete(f.known, i, i+1)
	}
	for _, item := range n.Updated {
		i := at(item.Version)
		if i < 0 || f.known[i].Updated >= item.Updated {
			return fmt.Errorf("%d is updated at %d", item.Version, item.Updated)
		}
		f.known[i] = item
	}
	for _, item := range n.Added {
		if at(item.Version) >= 0 {
			return fmt.Errorf("%d is added again", item.Version)
		}
		f.known = append(f.known, item)
	}
	return nil
}

// judge holds what was told against the truth: only states that the list had,
// in their order, ending in the last one.
func (f *follower) judge(t testing.TB, h *truth, limit int, last string) {
	t.Helper()
	for _, l := range f.told {
		if !h.has(l.ETag, l.Items, limit) {
			t.Fatalf("told that etag %s is %v, which it never was: %v", l.ETag, versions(l.Items), versions(h.states[l.ETag]))
		}
	}
	if f.etag != last {
		t.Errorf("the last state told is %s, the list is at %s", f.etag, last)
	}
}

// long returns n, or ten times as much with VERA_SOAK=1.
func long(n int) int {
	if os.Getenv("VERA_SOAK") == "1" {
		return 10 * n
	}
	return n
}

// theEnd is the data of the head when nothing will change any more.
const theEnd = `{"the":"end"}`

// overture pushes the item that stays the head of a list throughout.
func overture(t testing.TB, owner *caller, path string, h *truth) uint64 {
	t.Helper()
	l := owner.push(path, number(-1))
	if err := h.record(l); err != nil {
		t.Fatal(err)
	}
	return l.Version
}

// finale makes the last change of a list, to its head, which every window shows.
func finale(t testing.TB, owner *caller, path string, head uint64, h *truth) client.Listing {
	t.Helper()
	l, err := owner.Update(within(t, patience), path, head, json.RawMessage(theEnd))
	if err == nil {
		err = h.record(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ended says whether the last change was told.
func (f *follower) ended() bool {
	return f != nil && len(f.known) > 0 && string(f.known[0].Data) == theEnd
}

// etag returns an etag as the number that it is.
func etag(t testing.TB, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Errorf("etag %q: %v", text, err)
	}
	return n
}

// storm changes a list from several sessions at once, with pushes, updates and
// removals in flight at the same time, and records every state in h.
func storm(t testing.TB, p *peer, path string, sessions, changes int, h *truth) {
	t.Helper()
	var all sync.WaitGroup
	failures := make(chan error, sessions)
	for n := range sessions {
		c := call(t, p, client.Options{})
		all.Go(func() {
			if err := c.changeALot(path, n, changes, h); err != nil {
				failures <- err
			}
		})
	}
	all.Wait()
	close(failures)
	for err := range failures {
		t.Fatal(err)
	}
}

// changeALot makes changes one after the other and holds four items at most.
func (c *caller) changeALot(path string, seed, changes int, h *truth) error {
	var held []uint64
	ctx := within(c.t, 4*patience)
	for n := range changes {
		var l client.Listing
		var err error
		switch {
		case len(held) == 4:
			l, err = c.Remove(ctx, path, held[(n*7+seed)%4])
			held = slices.Delete(held, (n*7+seed)%4, (n*7+seed)%4+1)
		case len(held) > 0 && (n*5+seed)%3 == 0:
			l, err = c.Update(ctx, path, held[n%len(held)], number(n))
		default:
			l, err = c.Push(ctx, path, map[string]any{"n": n, "fill": strings.Repeat("x", n%50)})
			held = append(held, l.Version)
		}
		if err != nil {
			return err
		}
		if err := h.record(l); err != nil {
			return err
		}
	}
	return nil
}
