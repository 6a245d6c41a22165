package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"vera"
)

// elements is a sequence as a slice.
func elements(s sequence[holding]) (all []holding) {
	s.each(-1, func(h holding) bool { all = append(all, h); return true })
	return all
}

// TestSequenceAgreesWithSlice adds to a sequence, replaces in it and removes
// from it, one element or many, and looks whether all earlier ones are still
// what they were.
func TestSequenceAgreesWithSlice(t *testing.T) {
	type kept struct {
		sequence sequence[holding]
		want     []holding
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var s sequence[holding]
		var want []holding
		var before []kept
		for version := uint64(1); version < 4000; version++ {
			switch choice := r.IntN(100); {
			case choice < 88 || len(want) == 0:
				s = s.add(holding{"", version})
				want = append(slices.Clip(want), holding{"", version})
			case choice < 94:
				at := r.IntN(len(want)) / (1 + 1000*r.IntN(2))
				s = s.without([]uint64{want[at].Version}, nil)
				want = slices.Delete(slices.Clone(want), at, at+1)
			case choice < 98:
				at := r.IntN(len(want))
				want = slices.Clone(want)
				want[at].Path = vera.Path(fmt.Sprint("since ", version))
				s = s.replace(want[at])
			default:
				s, want = thinned(t, r, s, want)
			}
			if version%50 == 0 {
				before = append(before, kept{s, want})
			}
			if err := s.check(); err != nil || s.n != len(want) {
				t.Fatalf("seed %d, step %d: %d elements for %d: %v", seed, version, s.n, len(want), err)
			}
			if _, found := s.find(version + 1); found {
				t.Fatalf("%d is not there", version+1)
			}
		}
		for _, k := range before {
			if !slices.Equal(elements(k.sequence), k.want) {
				t.Fatalf("seed %d: a sequence of %d elements changed later", seed, len(k.want))
			}
			for i, h := range k.want {
				if found, _ := k.sequence.find(h.Version); found != h || k.sequence.at(i) != h {
					t.Fatalf("seed %d: element %d is %+v, found as %+v, not %+v", seed, i, k.sequence.at(i), found, h)
				}
			}
		}
	}
}

// thinned removes a random part, most often a large one.
func thinned(t *testing.T, r *rand.Rand, s sequence[holding], want []holding) (sequence[holding], []holding) {
	var gone, told []uint64
	var left []holding
	share := r.IntN(100)
	from, to := r.IntN(len(want)), r.IntN(len(want))
	for i, h := range want {
		if i >= min(from, to) && i <= max(from, to) && r.IntN(100) < share {
			gone = append(gone, h.Version)
		} else {
			left = append(left, h)
		}
	}
	s = s.without(gone, func(h holding) { told = append(told, h.Version) })
	if !slices.Equal(told, gone) {
		t.Fatalf("told of %v, not of %v", told, gone)
	}
	return s, left
}

// TestRemovalTouchesEachChunkOnce: what a session held on one list leaves it
// in one pass, however much it is.
func TestRemovalTouchesEachChunkOnce(t *testing.T) {
	var s sequence[holding]
	var gone []uint64
	for v := range uint64(100_000) {
		s = s.add(holding{"", v + 1})
		if v%10 == 0 {
			gone = append(gone, v+1)
		}
	}
	chunks := float64(len(s.spine) + 1)
	if n := testing.AllocsPerRun(5, func() { s.without(gone, nil) }); n > 3*chunks {
		t.Errorf("%d removals from %.0f chunks allocate %.0f times", len(gone), chunks, n)
	}
	if n := testing.AllocsPerRun(5, func() { s.without(gone[5000:5001], nil) }); n > 4 {
		t.Errorf("one removal allocates %.0f times", n)
	}
}

// TestRemovalOfWhatIsNotThere is a broken invariant.
func TestRemovalOfWhatIsNotThere(t *testing.T) {
	var s sequence[holding]
	for v := range uint64(600) {
		s = s.add(holding{"", 2 * (v + 1)})
	}
	for name, f := range map[string]func(){
		"in a chunk":      func() { s.without([]uint64{3}, nil) },
		"behind them all": func() { s.without([]uint64{5000}, nil) },
		"of nothing":      func() { sequence[holding]{}.without([]uint64{1}, nil) },
		"one of two":      func() { s.without([]uint64{2, 3}, nil) },
		"replaced":        func() { s.replace(holding{"", 7}) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// TestSessionRemembersTheLastKeys pushes three times as many keys as are
// remembered, over restores.
func TestSessionRemembersTheLastKeys(t *testing.T) {
	s := newTranscript(t)
	s.line("p: peer-up")
	s.line("p: open s")
	push := func(n int) Reply {
		c := s.command([]string{"push", "s", "/data/a", "{}"})
		c.Once = string([]byte{byte(n), byte(n >> 8)})
		c.SessionItems, c.ListItems = 1<<20, 1<<20
		s.index++
		b := Batch{Peer: 'p', Incarnation: 1, First: s.next["p"].next, Commands: []Command{c}}
		s.next["p"].next++
		return s.machine.Apply(s.index, b.Append(nil)).Replies[0]
	}
	const pushes = 3*vera.OnceKeys + 77
	versions := make([]uint64, pushes)
	for n := range pushes {
		if n%500 == 499 {
			s.restore()
		}
		versions[n] = push(n).Version
		if oldest := max(0, n-vera.OnceKeys+1); push(oldest).Version != versions[oldest] {
			t.Fatalf("after %d the key %d is forgotten", n, oldest)
		}
		if err := s.machine.Check(); n%100 == 0 && err != nil {
			t.Fatal(err)
		}
	}
	if forgotten := pushes - vera.OnceKeys - 1; push(forgotten).Version == versions[forgotten] {
		t.Fatalf("the key %d is still remembered", forgotten)
	}
}
