package sign

import (
	"container/list"
	"maps"
	"slices"
)

const (
	maxKeys        = 4096  // peers whose nonces are remembered
	maxNonces      = 32768 // nonces remembered in all
	maxNoncesOfKey = 4096  // and of one peer
)

// nonce is what makes a request one of its own.
type nonce [nonceSize]byte

// What became of an attempt to spend a nonce.
const (
	fresh     = iota // it is spent now
	repeated         // it was spent before
	forgotten        // nobody knows any more
)

// nonces are those that were spent and may come again, by peer. A nonce has a
// deadline, after which nothing with it is in time. The zero value is ready.
type nonces struct {
	keys  map[string]*list.Element // of *window
	used  list.List                // the peer heard of last is in front
	total int
	floor int64 // the latest deadline of all windows dropped
}

// window are the nonces of one peer. What has a deadline at or before floor
// may have been forgotten.
type window struct {
	keyID string
	floor int64
	seen  map[int64]map[nonce]struct{} // by deadline
	size  int
	swept int64 // when it was last looked through
}

// spend says what a peer's nonce is, and remembers it if it is fresh. now and
// the deadlines are in the same unit; at most a few hundred deadlines after now
// are ever asked for.
func (s *nonces) spend(keyID string, n nonce, deadline, now int64) int {
	w := s.windowOf(keyID)
	if _, found := w.seen[deadline][n]; found {
		return repeated
	}
	if now > w.swept {
		s.total -= w.forget(now - 1)
		w.swept = now
	}
	if w.size >= maxNoncesOfKey {
		s.total -= w.forget(w.earliest())
	}
	if deadline <= w.floor {
		return forgotten
	}
	for s.total >= maxNonces {
		s.drop()
	}
	if w.seen[deadline] == nil {
		w.seen[deadline] = map[nonce]struct{}{}
	}
	w.seen[deadline][n] = struct{}{}
	w.size++
	s.total++
	return fresh
}

// windowOf returns a peer's window, which becomes the last to be dropped.
func (s *nonces) windowOf(keyID string) *window {
	if e := s.keys[keyID]; e != nil {
		s.used.MoveToFront(e)
		return e.Value.(*window)
	}
	if s.keys == nil {
		s.keys = map[string]*list.Element{}
	}
	if len(s.keys) >= maxKeys {
		s.drop()
	}
	w := &window{keyID: keyID, floor: s.floor, seen: map[int64]map[nonce]struct{}{}}
	s.keys[keyID] = s.used.PushFront(w)
	return w
}

// drop forgets the peer that was heard of longest ago. Who comes next without
// a window starts above all that it had.
func (s *nonces) drop() {
	e := s.used.Back()
	w := s.used.Remove(e).(*window)
	delete(s.keys, w.keyID)
	s.total -= w.size
	s.floor = max(s.floor, w.floor)
	for deadline := range w.seen {
		s.floor = max(s.floor, deadline)
	}
}

// earliest is the first deadline there is; there must be one.
func (w *window) earliest() int64 {
	return slices.Min(slices.Collect(maps.Keys(w.seen)))
}

// forget drops what has no deadline after the one given, and returns how many
// nonces that were.
func (w *window) forget(last int64) int {
	before := w.size
	for deadline, nonces := range w.seen {
		if deadline <= last {
			w.floor = max(w.floor, deadline)
			w.size -= len(nonces)
			delete(w.seen, deadline)
		}
	}
	return before - w.size
}
