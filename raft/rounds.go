package raft

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	roundMost  = 500 * time.Millisecond // a round that takes longer does not hold up the next: hashicorp/raft may have refused it
	gatherMost = time.Millisecond       // from the end of a round, for those who are likely to have more
	roundBytes = 32 << 20               // that may wait
)

var errBehind = errors.New("the log is too far behind")

// rounds is how a leader in company gives hashicorp/raft what it and the other
// peers handed over: one round after another. A round has all that came while
// the one before was on its way, and begins when that is committed. One that
// began earlier would have less in it and gain nothing, since one append to a
// follower is under way at a time.
//
// A round costs three peers a write to the disk each, and messages, however
// much is in it. So a peer that gave more than one entry, on which clients
// wait for each other, is waited for a moment when a round is over: it has its
// answers then, and soon more to give. (As PostgreSQL's commit_delay and
// commit_siblings.)
type rounds struct {
	apply   func(entry []byte) // has hashicorp/raft append an entry; it may wait
	leading func() bool
	wake    chan struct{} // of capacity 1

	mu       sync.Mutex
	waiting  [][]byte   // in the order in which they came
	bytes    int        // of those
	came     []net.Conn // who gave them; nil is this peer
	busy     []net.Conn // who of those gave more than one at once
	expected []net.Conn // who did so for the last round
	last     *byte      // where the last entry begins of the round that is under way; nil: none is
	began    time.Time  // that round
	ended    time.Time  // the one before
}

func newRounds(leading func() bool, apply func(entry []byte)) *rounds {
	return &rounds{leading: leading, apply: apply, wake: make(chan struct{}, 1)}
}

// add takes entries of a peer, none of them empty, in order, and does not wait.
// An error says that they were not taken.
func (r *rounds) add(from net.Conn, entries [][]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes > roundBytes {
		return errBehind
	}
	r.waiting = append(r.waiting, entries...)
	for _, entry := range entries {
		r.bytes += len(entry)
	}
	if !slices.Contains(r.came, from) {
		r.came = append(r.came, from)
	}
	if len(entries) > 1 && !slices.Contains(r.busy, from) {
		r.busy = append(r.busy, from)
	}
	poke(r.wake)
	return nil
}

// run begins rounds until stop is closed.
func (r *rounds) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		entries, pause := r.next(time.Now())
		for _, entry := range entries {
			r.apply(entry)
		}
		if timer.Stop(); pause > 0 {
			timer.Reset(pause)
		}
		select {
		case <-r.wake:
		case <-timer.C:
		case <-stop:
			return
		}
	}
}

// next begins a round if it is time for one, and returns its entries; else it
// returns how long to wait, 0 when there is nothing to wait for but a wake.
func (r *rounds) next(now time.Time) (entries [][]byte, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	leads := r.leading()
	if leads && len(r.waiting) > 0 {
		if pause = r.early(now); pause > 0 {
			return nil, pause
		}
		entries, r.began = r.waiting, now
		r.expected = r.busy
		r.last = &entries[len(entries)-1][0]
	}
	if entries != nil || !leads { // who does not lead has nothing to give; whose it was hands it over to the next
		r.waiting, r.bytes, r.came, r.busy = nil, 0, nil, nil
	}
	return entries, 0
}

// early returns for how long what waits has to wait still.
func (r *rounds) early(now time.Time) time.Duration {
	if r.last != nil {
		return r.began.Add(roundMost).Sub(now)
	}
	for _, one := range r.expected {
		if !slices.Contains(r.came, one) {
			return r.ended.Add(gatherMost).Sub(now)
		}
	}
	return 0
}

// committed ends the round that is under way if its last entry is among those
// committed: hashicorp/raft gives a leader the memory back that it was given.
func (r *rounds) committed(logs []*hraft.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && slices.ContainsFunc(logs, func(l *hraft.Log) bool { return len(l.Data) > 0 && &l.Data[0] == r.last }) {
		r.end()
	}
}

// deposed ends the round that is under way: nobody will hear of it.
func (r *rounds) deposed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = nil
	r.end()
}

func (r *rounds) end() {
	r.last, r.ended = nil, time.Now()
	poke(r.wake)
}
