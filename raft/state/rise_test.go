package state

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"vera"
)

// given is every number that clients were given: versions, updates, lives and
// etags.
type given map[uint64]bool

// takeNew notes what a twin's lists and sessions show that is above an index.
func (g given) takeNew(w *twin, above uint64) {
	note := func(n uint64) {
		if n > above {
			g[n] = true
		}
	}
	for _, p := range somePaths {
		l, index := w.machine.List(p)
		note(index)
		note(l.ETag())
		note(l.Changed())
		for it := range l.All() {
			note(it.Version)
			note(it.Updated)
		}
	}
	for s := range w.machine.Sessions() {
		note(s.Life())
		note(s.Since())
	}
}

// rise has a twin go on from a risen image of itself.
func (w *twin) rise(index uint64) {
	image := w.machine.Snapshot()
	image.Rise(index)
	var b bytes.Buffer
	if _, err := image.WriteTo(&b); err != nil {
		w.t.Fatal(err)
	}
	before := w.machine
	w.machine = New()
	if err := w.machine.Restore(&b); err != nil {
		w.t.Fatal(err)
	}
	if w.machine.Hash() == before.Hash() {
		w.t.Error("a risen state has the hash of the one that it was made from")
	}
	w.index, w.model.index = index, index
	for p, l := range w.model.lists {
		if len(l.items) == 0 {
			delete(w.model.lists, p)
		}
		l.changed = index
	}
	if err := w.compareState(); err != nil {
		w.t.Fatalf("after the rise: %v", err)
	}
}

// TestRisenGivesNothingTwice: one history goes on in the old cluster after its
// archive, and differently in a restored one. No number is given in both, and
// all of the second are above all of the first.
func TestRisenGivesNothingTwice(t *testing.T) {
	for seed := range uint64(60) {
		old, restored := newTwin(t, seed, 10), newTwin(t, seed, 10)
		for range 50 + 5*int(seed) {
			old.step()
			restored.step()
		}
		archived := old.index
		restored.rise(archived + 1<<32)
		old.chance.Rand = rand.New(rand.NewPCG(seed, 1))
		restored.chance.Rand = rand.New(rand.NewPCG(seed, 2))
		first, second := given{}, given{}
		second.takeNew(restored, archived)
		for range 150 {
			old.step()
			restored.step()
			first.takeNew(old, archived)
			second.takeNew(restored, archived)
		}
		highest := uint64(0)
		for n := range first {
			highest = max(highest, n)
		}
		for n := range second {
			if n <= highest {
				t.Fatalf("seed %d: %d is given after a restore; the old cluster came to %d", seed, n, highest)
			}
		}
		if len(first) < 10 || len(second) < 10 {
			t.Fatalf("seed %d: %d and %d numbers: this shows nothing", seed, len(first), len(second))
		}
	}
}

// A watcher that knows any index from before takes no list for unchanged.
func TestEveryListChangesAsItRises(t *testing.T) {
	m := furnished(t, 1, 300)
	image := m.Snapshot()
	last := image.Index()
	image.Rise(last + 1)
	var b bytes.Buffer
	if _, err := image.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	risen := New()
	if err := risen.Restore(&b); err != nil {
		t.Fatal(err)
	}
	for _, p := range somePaths {
		was, _ := m.List(p)
		now, index := risen.List(p)
		if was.Len() != now.Len() || index != last+1 || now.Len() > 0 && now.Changed() != last+1 {
			t.Errorf("%s: %d items changed at %d, index %d; was %d items", p, now.Len(), now.Changed(), index, was.Len())
		}
		added, updated, removed := Diff(was, now, vera.NoLimit)
		if len(added)+len(updated)+len(removed) > 0 {
			t.Errorf("%s: %d added, %d updated, %d removed", p, len(added), len(updated), len(removed))
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an image may fall")
		}
	}()
	m.Snapshot().Rise(last)
}
