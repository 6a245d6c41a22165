package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"vera"
)

// plainDiff is Diff by looking at everything.
func plainDiff(before, after *List, limit int) (added, updated, removed []uint64) {
	old, now := slices.Collect(before.First(limit)), slices.Collect(after.First(limit))
	in := func(items []*vera.Item, version uint64) *vera.Item {
		for _, it := range items {
			if it.Version == version {
				return it
			}
		}
		return nil
	}
	for _, it := range now {
		switch was := in(old, it.Version); {
		case was == nil:
			added = append(added, it.Version)
		case was.Updated != it.Updated:
			updated = append(updated, it.Version)
		}
	}
	for _, it := range old {
		if in(slices.Collect(after.All()), it.Version) == nil {
			removed = append(removed, it.Version)
		}
	}
	return added, updated, removed
}

func versionsOf(items []*vera.Item) (all []uint64) {
	for _, it := range items {
		all = append(all, it.Version)
	}
	return all
}

func compareDiff(before, after *List, limit int) error {
	added, updated, removed := Diff(before, after, limit)
	a, u, r := plainDiff(before, after, limit)
	if !slices.Equal(versionsOf(added), a) || !slices.Equal(versionsOf(updated), u) || !slices.Equal(versionsOf(removed), r) {
		return fmt.Errorf("limit %d: added %v, updated %v, removed %v; not %v, %v, %v",
			limit, versionsOf(added), versionsOf(updated), versionsOf(removed), a, u, r)
	}
	return nil
}

// TestDiffAgreesWithPlainDiff compares states of one list that lie any way
// apart, with and without windows.
func TestDiffAgreesWithPlainDiff(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := &List{}
		states := []*List{l}
		for index := uint64(1); index < 1500; index++ {
			l = vary(r, l, index)
			if r.IntN(20) == 0 {
				states = append(states, l)
			}
		}
		for range 300 {
			i, j := r.IntN(len(states)), r.IntN(len(states))
			limit := []int{vera.NoLimit, 0, 1, 2, 10, 300, 1000}[r.IntN(7)]
			if err := compareDiff(states[min(i, j)], states[max(i, j)], limit); err != nil {
				t.Fatalf("seed %d, states %d and %d: %v", seed, min(i, j), max(i, j), err)
			}
		}
	}
}

// vary changes a list somehow.
func vary(r *rand.Rand, l *List, index uint64) *List {
	next := &List{items: l.items, changed: index}
	switch choice := r.IntN(20); {
	case choice < 14 || l.Len() == 0:
		next.items = l.items.add(slot{&vera.Item{Origin: &vera.Origin{Version: index}}})
	case choice < 17:
		it := l.items.at(r.IntN(l.Len()))
		next.items = l.items.replace(slot{&vera.Item{Origin: it.Origin, Updated: index}})
	case choice < 19:
		it := l.items.at(r.IntN(l.Len()) / (1 + r.IntN(l.Len())))
		next.items = l.items.without([]uint64{it.Version}, nil)
	default:
		var gone []uint64
		for it := range l.All() {
			if r.IntN(8) == 0 {
				gone = append(gone, it.Version)
			}
		}
		next.items = l.items.without(gone, nil)
	}
	return next
}

// TestDiffSkipsSharedChunks: a change of a long list is found without a walk
// over its items.
func TestDiffSkipsSharedChunks(t *testing.T) {
	before := &List{}
	for v := range uint64(50_000) {
		before.items = before.items.add(slot{&vera.Item{Origin: &vera.Origin{Version: v + 1}}})
	}
	after := &List{items: before.items.without([]uint64{20_000}, nil).add(slot{&vera.Item{Origin: &vera.Origin{Version: 60_000}}})}
	a, b := before.window(vera.NoLimit), after.window(vera.NoLimit)
	steps := 0
	compare(&a, &b, func(_, _ *vera.Item) { steps++ })
	if steps > 2*chunkSize {
		t.Errorf("%d items were looked at", steps)
	}
	added, updated, removed := Diff(before, after, vera.NoLimit)
	if len(added) != 1 || len(updated) != 0 || len(removed) != 1 || removed[0].Version != 20_000 {
		t.Errorf("%v %v %v", versionsOf(added), versionsOf(updated), versionsOf(removed))
	}
}

// TestDiffOfPeers: the list of peers begins with the leader, so its versions
// do not rise.
func TestDiffOfPeers(t *testing.T) {
	peers := func(etag uint64, versions ...uint64) *List {
		var items []*vera.Item
		for _, v := range versions {
			items = append(items, &vera.Item{Origin: &vera.Origin{Version: v}})
		}
		return NewList(etag, items)
	}
	first, second := peers(7, 1, 2, 3), peers(9, 3, 2, 4)
	for _, limit := range []int{vera.NoLimit, 1, 2} {
		if err := compareDiff(first, second, limit); err != nil {
			t.Error(err)
		}
	}
	if first.ETag() != 7 || first.Len() != 3 || first.Find(3) == nil || first.Find(4) != nil || second.Head().Version != 3 {
		t.Error("the list of peers is not what was put on it")
	}
	if none := NewList(9, nil); none.ETag() != 0 || none.Changed() != 9 || none.Head() != nil {
		t.Error("an empty list has an etag or a head")
	}
}

// TestListing: what an answer tells of a list.
func TestListing(t *testing.T) {
	l := &List{changed: 5}
	for v := range uint64(300) {
		l.items = l.items.add(slot{&vera.Item{Origin: &vera.Origin{Version: v + 1}}})
	}
	for _, c := range []struct{ limit, shown int }{{vera.NoLimit, 300}, {0, 0}, {1, 1}, {256, 256}, {257, 257}, {300, 300}, {1000, 300}} {
		got := l.Listing(9, c.limit)
		for range 2 {
			n := 0
			for it := range got.Items {
				n++
				if it.Version != uint64(n) {
					t.Fatalf("limit %d: item %d is %d", c.limit, n, it.Version)
				}
			}
			if n != c.shown || got.Shown != c.shown || got.Total != 300 || got.ETag != 5 || got.Index != 9 {
				t.Errorf("limit %d: %d items, %+v", c.limit, n, got)
			}
		}
	}
}
