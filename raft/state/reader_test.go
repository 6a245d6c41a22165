package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"vera"
)

// history is a log, and every state that each list had along it.
type history struct {
	entries map[uint64][]byte
	last    uint64
	states  map[vera.Path][]mList // in the order of changed; that of 0 is empty
}

// newHistory lets a model live through a log that changes a few lists again
// and again.
func newHistory(seed uint64, entries, limit int) *history {
	m := newModel()
	c := newChance(seed, m, limit)
	h := &history{entries: map[uint64][]byte{}, states: map[vera.Path][]mList{}}
	for _, p := range somePaths {
		h.states[p] = []mList{{}}
	}
	for range entries {
		h.last += 1 + uint64(c.IntN(3)/2)
		b := c.batch()
		for path := range m.apply(h.last, b).before {
			l := m.list(path)
			h.states[path] = append(h.states[path], mList{l.changed, slices.Clone(l.items)})
		}
		h.entries[h.last] = b.Append(nil)
	}
	return h
}

// at returns what a list was when index was applied.
func (h *history) at(p vera.Path, index uint64) mList {
	states := h.states[p]
	place, found := slices.BinarySearchFunc(states, index, func(l mList, index uint64) int { return int(l.changed) - int(index) })
	if !found {
		place--
	}
	return states[place]
}

// replay applies the log to a machine; told gets every output.
func (h *history) replay(m *Machine, told func(Output)) {
	for index := uint64(1); index <= h.last; index++ {
		if entry, found := h.entries[index]; found {
			told(m.Apply(index, entry))
		} else {
			m.Advance(index)
		}
	}
}

// TestReadersSeeListsOfTheirIndex: each pair that List returns is a state that
// the list had at exactly that index, while entries are applied and lists come
// and go; no reader ever goes back.
func TestReadersSeeListsOfTheirIndex(t *testing.T) {
	for seed, limit := range []int{2, 4, 600} {
		h := newHistory(uint64(seed), 15_000, limit)
		m := New()
		var done atomic.Bool
		var readers sync.WaitGroup
		pairs, between := atomic.Int64{}, atomic.Int64{}
		for n := range 3 {
			readers.Go(func() {
				r := rand.New(rand.NewPCG(uint64(n), 3))
				last := uint64(0)
				for !done.Load() {
					p := somePaths[r.IntN(len(somePaths))]
					l, index := m.List(p)
					want := h.at(p, index)
					if err := sameList(l, &want); err != nil || index < last {
						t.Errorf("%s at %d after %d: %v", p, index, last, err)
						return
					}
					if index > 0 && index < h.last {
						between.Add(1)
					}
					last = index
					pairs.Add(1)
				}
			})
		}
		readers.Go(func() { readEverything(t, m, &done) })
		outputs, told := make(chan Output, 16), make(chan error)
		go func() { told <- follow(outputs) }()
		h.replay(m, func(out Output) { outputs <- out })
		close(outputs)
		done.Store(true)
		readers.Wait()
		if err := <-told; err != nil {
			t.Error(err)
		}
		if between.Load() < 100 {
			t.Errorf("only %d of %d pairs were read while entries were applied", between.Load(), pairs.Load())
		}
	}
}

// TestSlowReaders stops readers between their look at the index and their look
// at the list, for a few entries: each then gets the list of its index, or
// must look again.
func TestSlowReaders(t *testing.T) {
	for seed, limit := range []int{1, 2, 5} {
		h := newHistory(uint64(seed)+20, 20_000, limit)
		m := New()
		got := 0
		h.replay(m, func(out Output) {
			w := m.world.Load()
			for late := range min(6, out.Index) {
				for _, p := range somePaths {
					l := w.listAt(p, out.Index-late)
					if l == nil && late > 0 {
						continue
					}
					want := h.at(p, out.Index-late)
					if err := sameList(l, &want); err != nil {
						t.Fatalf("%s, read at %d with the index %d: %v", p, out.Index, out.Index-late, err)
					}
					got += int(min(1, late))
				}
			}
		})
		if got < 1000 {
			t.Errorf("only %d late reads were answered", got)
		}
	}
}

// TestReadersDoNotWaitForAnEntry: while an entry is half done, readers get what
// was before it, at once.
func TestReadersDoNotWaitForAnEntry(t *testing.T) {
	p := newBenchPeer()
	life := p.open(1)
	p.fill(5, 1, life, "/data/old")
	m, w := p.machine, p.machine.world.Load()
	index := m.Applied()
	w.sweep()
	w.index = index + 1
	for path, before := range map[vera.Path]int{"/data/old": 5, "/data/new": 0} {
		push := benchPush(1, life, path)
		r := w.push(w.session(push.Session), &push)
		if r.List.Len() != before+1 {
			t.Fatalf("%s was not pushed to: %+v", path, r)
		}
		if l := w.listAt(path, index); l == nil || l.Len() != before {
			t.Errorf("%s cannot be read at %d while the entry after it is applied", path, index)
		}
	}
	if s := m.Session(benchSession(1)); s.ItemCount() != 5 {
		t.Errorf("the session holds %d items of an entry that is half done", s.ItemCount())
	}
	w.publish()
	for path, after := range map[vera.Path]int{"/data/old": 6, "/data/new": 1} {
		if l, at := m.List(path); l.Len() != after || at != index+1 {
			t.Errorf("%s has %d items at %d", path, l.Len(), at)
		}
	}
}

// readEverything uses every other way to read, for the race detector.
func readEverything(t *testing.T, m *Machine, done *atomic.Bool) {
	for !done.Load() {
		for s := range m.Sessions() {
			held := 0
			for h := range s.Items() {
				held += min(1, int(h.Version))
			}
			if held != s.ItemCount() || len(s.Attachments()) == 0 && s.Since() == 0 || s.Grace() < s.Doubt() {
				t.Errorf("session %s holds %d of %d, %d attachments, since %d", s.ID(), held, s.ItemCount(), len(s.Attachments()), s.Since())
			}
			if again := m.Session(s.ID()); again != nil && again.Life() < s.Life() {
				t.Errorf("session %s went back to life %d", s.ID(), again.Life())
			}
		}
		for d := range m.Doubts() {
			if d.Since == 0 || d.Grace == 0 || d.What != Detached {
				t.Errorf("doubt %+v", d)
			}
		}
		for _, p := range m.Peers() {
			if incarnation, sequence := m.LastSequence(p.Peer); incarnation < p.Incarnation || incarnation == p.Incarnation && sequence < p.Sequence {
				t.Errorf("peer %d went back", p.Peer)
			}
		}
		if c := m.Counts(); c.Sessions < 0 || m.Hash() == 1 {
			t.Errorf("%+v", c)
		}
	}
}

// follow reads outputs as a watcher does: behind the machine, with the reasons.
func follow(outputs <-chan Output) (err error) {
	for out := range outputs {
		for _, c := range out.Changes {
			_, _, removed := Diff(c.Before, c.After, vera.NoLimit)
			for _, it := range removed {
				if it.Reason == vera.Stays && err == nil {
					err = fmt.Errorf("item %d left %s at %d without a reason", it.Version, c.Path, out.Index)
				}
			}
		}
	}
	return err
}

// TestReadersDuringRestore: a reader sees the old state with its index or the
// new one with its own, never one with the other's.
func TestReadersDuringRestore(t *testing.T) {
	h := newHistory(9, 8_000, 6)
	source := New()
	var images [][]byte
	h.replay(source, func(out Output) {
		if out.Index%100 == 0 {
			images = append(images, snapshotOf(t, source))
		}
	})
	m := New()
	var done atomic.Bool
	var readers sync.WaitGroup
	for n := range 2 {
		readers.Go(func() {
			for i := n; !done.Load(); i++ {
				p := somePaths[i%len(somePaths)]
				l, index := m.List(p)
				want := h.at(p, index)
				if err := sameList(l, &want); err != nil {
					t.Errorf("%s at %d: %v", p, index, err)
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 150 { // forwards and back
		if err := m.Restore(bytes.NewReader(images[r.IntN(len(images))])); err != nil {
			t.Error(err)
		}
		for index, end := m.Applied()+1, min(m.Applied()+300, h.last); index <= end; index++ {
			if entry, found := h.entries[index]; found {
				m.Apply(index, entry)
			}
		}
	}
	done.Store(true)
	readers.Wait()
}
