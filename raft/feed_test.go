package raft

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"vera/raft/state"
)

// reader follows a feed as the actors do, and checks that it is told every
// output in order, or that it missed some.
type reader struct {
	position    uint64
	slow        int // reads so many at most
	missed, got int
}

// read compares with all indexes that ever were added, and with the index of
// the last restart.
func (r *reader) read(t *testing.T, f *Feed, all []uint64, restarted uint64) {
	t.Helper()
	buffer := make([]state.Output, r.slow)
	index := f.Index()
	n, missed := f.Read(r.position, buffer)
	gone := slices.ContainsFunc(all, func(i uint64) bool {
		return i > r.position && (f.from == f.to || i < f.at(f.from).output.Index)
	})
	if missed != (gone || r.position < restarted) {
		t.Fatalf("at %d: missed %v, gone %v, restarted at %d", r.position, missed, gone, restarted)
	}
	if missed {
		if n != 0 {
			t.Fatalf("missed, and %d outputs", n)
		}
		r.missed++
		r.position = index
		return
	}
	// The model: what follows on the position in everything that ever was added.
	at := 0
	for at < len(all) && all[at] <= r.position {
		at++
	}
	for i := range n {
		if at+i >= len(all) || buffer[i].Index != all[at+i] {
			t.Fatalf("at %d: output %d is of index %d", r.position, i, buffer[i].Index)
		}
	}
	if n < min(r.slow, len(all)-at) {
		t.Fatalf("at %d: %d outputs of %d", r.position, n, len(all)-at)
	}
	if n > 0 {
		r.position = buffer[n-1].Index
	}
	r.got += n
}

func TestFeedTellsAllOrThatSomeAreMissed(t *testing.T) {
	missed, got := 0, 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 9))
		f := newFeed(1+random.IntN(40), 1+random.IntN(5000))
		var all []uint64
		pokes := 0
		f.Poke(func() { pokes++ })
		readers := []*reader{{slow: 1}, {slow: 3}, {slow: 64}}
		index, restarted := uint64(0), uint64(0)
		for range 300 {
			switch random.IntN(8) {
			case 0, 1, 2, 3:
				var batch []kept
				for range random.IntN(10) {
					index += 1 + random.Uint64N(3)
					batch = append(batch, kept{state.Output{Index: index}, random.IntN(500)})
					all = append(all, index)
				}
				index += random.Uint64N(2)
				before := pokes
				f.add(batch, index)
				if pokes-before != min(1, len(batch)) {
					t.Fatalf("%d pokes for %d outputs", pokes-before, len(batch))
				}
			case 4:
				if random.IntN(20) == 0 {
					index += 100
					f.restart(index)
					restarted = index
				}
			default:
				readers[random.IntN(3)].read(t, f, all, restarted)
			}
			if f.Index() != index {
				t.Fatalf("complete up to %d, want %d", f.Index(), index)
			}
			if held := int(f.to - f.from); held > f.maxEntries || held > 1 && f.bytes > f.maxBytes {
				t.Fatalf("%d outputs of %d bytes", held, f.bytes)
			}
		}
		for _, r := range readers {
			missed, got = missed+r.missed, got+r.got
		}
	}
	if missed < 1000 || got < 1000 {
		t.Errorf("%d misses and %d outputs read: too few to show anything", missed, got)
	}
}

// A reader that is never overtaken is told everything, while others add and read.
func TestFeedReadersAtOnce(t *testing.T) {
	f := newFeed(1<<20, 1<<30)
	const last = 20_000
	var wait sync.WaitGroup
	for range 3 {
		poke := make(chan struct{}, 1)
		f.Poke(func() {
			select {
			case poke <- struct{}{}:
			default:
			}
		})
		wait.Go(func() {
			position, buffer := uint64(0), make([]state.Output, 100)
			for position < last {
				n, missed := f.Read(position, buffer)
				for i := range n {
					if buffer[i].Index != position+1 {
						t.Errorf("output %d after %d", buffer[i].Index, position)
					}
					position++
				}
				if missed {
					t.Error("missed something")
					return
				}
				if n == 0 {
					<-poke
				}
			}
		})
	}
	for index := uint64(1); index <= last; index += 10 {
		var batch []kept
		for i := range uint64(10) {
			batch = append(batch, kept{state.Output{Index: index + i}, 1})
		}
		f.add(batch, index+9)
	}
	wait.Wait()
}
