package raft

import (
	"sort"
	"sync"

	"vera/raft/state"
)

// Feed holds the latest changes of the applied log for any number of readers,
// each of which keeps its own position: the index of the last output that it
// has read. It never waits for a reader. One that fell behind the feed's
// bounds is told that it missed something, and begins anew from the lists.
//
// Its outputs are those that changed a list, a session or the peers, without
// their replies. All methods may be called from any goroutine.
type Feed struct {
	mu    sync.Mutex
	ring  []kept // a power of two long
	from  uint64 // place of the oldest output; places rise for ever
	to    uint64 // place of the next one
	bytes int    // sum of what the outputs cost
	floor uint64 // whoever has read less far than this index has missed something
	last  uint64 // index up to which the feed is complete
	pokes []func()

	maxEntries, maxBytes int
}

// kept is an output and how many bytes, about, it keeps alive.
type kept struct {
	output state.Output
	cost   int
}

func newFeed(entries, bytes int) *Feed {
	return &Feed{ring: make([]kept, 16), maxEntries: max(entries, 1), maxBytes: bytes}
}

// Poke has a function called after outputs were added or lost, once at most
// for each batch of entries that Raft applies. It is called on Raft's
// goroutine: it must neither block nor call the feed. A function stays for as
// long as the feed.
func (f *Feed) Poke(poke func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pokes = append(f.pokes, poke)
}

// Index returns the index up to which the feed is complete: with no output
// above a position, it may be taken as the next position.
func (f *Feed) Index() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Read copies the oldest outputs with an index above after to dst, as many as
// fit, and returns how many. The index of the last one is the reader's next
// position. missed says that some outputs above after are gone: nothing is
// copied then, and the reader goes on from an Index that it asks for before it
// looks at everything anew.
func (f *Feed) Read(after uint64, dst []state.Output) (n int, missed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after < f.floor {
		return 0, true
	}
	behind := sort.Search(int(f.to-f.from), func(i int) bool { return f.at(f.from+uint64(i)).output.Index > after })
	for place := f.from + uint64(behind); place < f.to && n < len(dst); place++ {
		dst[n] = f.at(place).output
		n++
	}
	return n, false
}

func (f *Feed) at(place uint64) *kept { return &f.ring[place&uint64(len(f.ring)-1)] }

// add takes what a batch of applied entries changed, indexes rising, and
// declares the feed complete up to index.
func (f *Feed) add(batch []kept, index uint64) {
	f.mu.Lock()
	for _, k := range batch {
		if f.to-f.from == uint64(len(f.ring)) && len(f.ring) < f.maxEntries {
			f.grow()
		}
		for f.to > f.from && (f.to-f.from >= uint64(min(len(f.ring), f.maxEntries)) || f.bytes+k.cost > f.maxBytes) {
			f.drop()
		}
		*f.at(f.to) = k
		f.to++
		f.bytes += k.cost
	}
	f.last = index
	pokes := f.pokes
	f.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	for _, poke := range pokes {
		poke()
	}
}

func (f *Feed) grow() {
	ring := make([]kept, 2*len(f.ring))
	for place := f.from; place < f.to; place++ {
		ring[place&uint64(len(ring)-1)] = *f.at(place)
	}
	f.ring = ring
}

func (f *Feed) drop() {
	oldest := f.at(f.from)
	f.floor = oldest.output.Index
	f.bytes -= oldest.cost
	*oldest = kept{} // lets go of the lists
	f.from++
}

// restart empties the feed because the whole state was replaced by that of a
// later index: every reader has missed something.
func (f *Feed) restart(index uint64) {
	f.mu.Lock()
	for f.to > f.from {
		f.drop()
	}
	f.floor, f.last = index, index
	pokes := f.pokes
	f.mu.Unlock()
	for _, poke := range pokes {
		poke()
	}
}
