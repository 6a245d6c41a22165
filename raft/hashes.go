package raft

import (
	"sort"
	"sync"
)

// hashesKept is how many entries of the log a peer can compare with what
// another says of its own: a power of two.
const hashesKept = 8192

// hashes are the rolling hashes of the last entries that were applied here.
type hashes struct {
	mu   sync.Mutex
	ring []point // of entries that hold commands, indexes rising
	from uint64  // place of the oldest; places rise for ever
	to   uint64  // place of the next
	last point   // up to where the log is applied
}

func newHashes() *hashes { return &hashes{ring: make([]point, hashesKept)} }

func (h *hashes) at(place uint64) *point { return &h.ring[place%hashesKept] }

// add takes the points of a batch of entries, and up to where it went.
func (h *hashes) add(points []point, last point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range points {
		*h.at(h.to) = p
		h.to++
	}
	h.from = max(h.from, h.to-min(h.to, hashesKept))
	h.last = last
}

// restart begins anew with a state that was loaded.
func (h *hashes) restart(p point) {
	h.mu.Lock()
	h.from, h.to = 0, 0
	h.mu.Unlock()
	h.add([]point{p}, p)
}

// reached returns how far the log is applied.
func (h *hashes) reached() point {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// compare says whether this peer had the same hash at a point; told is false
// when that is too long ago, or still to come.
func (h *hashes) compare(p point) (same, told bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	above := sort.Search(int(h.to-h.from), func(i int) bool { return h.at(h.from+uint64(i)).index > p.index })
	if above == 0 || p.index > h.last.index {
		return false, false
	}
	return h.at(h.from+uint64(above)-1).hash == p.hash, true
}
