package history

import (
	"math/rand/v2"
	"testing"
)

// history returns a history without a fault.
func generated(seed uint64, complete bool) *History {
	w := newWorld(seed)
	h := w.run(50+int(seed%7)*50, complete)
	if !complete {
		for _, l := range h.Lives {
			l.Index = 0
		}
	}
	return h
}

func TestHistoriesWithoutAFaultPass(t *testing.T) {
	for seed := range uint64(400) {
		if found := generated(seed, seed%2 == 0).Check(); len(found) > 0 {
			t.Fatalf("seed %d: %s", seed, Text(found))
		}
	}
}

func FuzzHistories(f *testing.F) {
	f.Add(uint64(1), uint8(0), true)
	f.Fuzz(func(t *testing.T, seed uint64, which uint8, complete bool) {
		if found := generated(seed, complete).Check(); len(found) > 0 {
			t.Fatalf("without a fault: %s", Text(found))
		}
		fault := faults[int(which)%len(faults)]
		h := generated(seed, complete)
		if fault.make(h, rand.New(rand.NewPCG(seed, 2))) && !fault.found(h.Check()) {
			t.Fatalf("%s was not found", fault.what)
		}
	})
}
