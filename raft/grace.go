package raft

import (
	"container/heap"
	"sync"
	"time"

	"vera"
	"vera/raft/state"
)

// How the graces are timed.
const (
	graceStep  = 100 * time.Millisecond // the longest between two looks while any grace runs
	graceSlack = 50 * time.Millisecond  // of lateness that still counts as time
	graceAgain = time.Second            // until an expiry that changed nothing is proposed again
	graceIdle  = time.Hour
)

// graces times the doubts of all sessions, on every peer, each from the moment
// at which this peer applied it (or loaded it). Only the leader acts on them:
// when a grace has run out it proves by a barrier in its term that it still
// leads, and then proposes the expiry, which names the doubt and so cannot
// touch what came after it.
//
// Time is counted by patience: what a standing process did not see is given
// back, since its clients could not be heard either.
type graces struct {
	leads   func(term uint64) bool                         // this peer leads, and has since that term began
	barrier func(done func(index, term uint64, err error)) // a point in the log behind everything before
	expire  func([]state.Command)                          // hands them over; they may be lost
	missed  func(*doubt) bool                              // the doubt is still open
	late    func(time.Duration)                            // is told how late an expiry was applied
	wake    chan struct{}                                  // of capacity 1

	mu      sync.Mutex
	clock   patience
	heap    placed[*doubt] // the next to act on first
	by      map[vera.SessionID]*doubt
	leading bool
	proof   proof
}

// proof is how far the leader is with proving that it leads.
type proof struct {
	asked bool
	upTo  time.Duration // it serves the doubts that were due then
	given bool
	term  uint64
}

// doubt is a client that is missed.
type doubt struct {
	session     vera.SessionID
	life, since uint64
	due         time.Duration // on the patient clock
	next        time.Duration // when to act on it; due at first
	place       int           // in the heap
}

func newGraces() *graces {
	return &graces{
		wake:  make(chan struct{}, 1),
		clock: patience{slack: graceSlack, at: time.Now()},
		by:    map[vera.SessionID]*doubt{},
	}
}

func (g *graces) poke() { poke(g.wake) }

// lead says whether this peer leads.
func (g *graces) lead(leads bool) {
	g.mu.Lock()
	g.leading = leads
	g.mu.Unlock()
	g.poke()
}

// note takes what an entry did to sessions.
func (g *graces) note(changes []state.SessionChange) {
	if len(changes) == 0 {
		return
	}
	g.mu.Lock()
	wall := time.Now()
	for i := range changes {
		switch c := &changes[i]; c.What {
		case state.Detached:
			g.start(wall, c)
		case state.Over:
			g.over(wall, c)
		}
	}
	g.mu.Unlock()
}

// start stamps a doubt with now.
func (g *graces) start(wall time.Time, c *state.SessionChange) {
	g.clock.plan(wall, graceStep) // an idle clock was not looked at for long
	d := g.by[c.Session]
	if d == nil {
		d = &doubt{session: c.Session}
		g.by[c.Session] = d
		heap.Push(&g.heap, d)
	}
	d.life, d.since = c.Life, c.Since
	d.due = g.clock.now(wall) + c.Grace
	d.next = d.due
	heap.Fix(&g.heap, d.place)
	if d.place == 0 {
		g.poke()
	}
}

func (g *graces) over(wall time.Time, c *state.SessionChange) {
	d := g.by[c.Session]
	if d == nil {
		return
	}
	if c.Reason == vera.Expired && g.leading {
		g.late(max(0, g.clock.now(wall)-d.due))
	}
	g.forget(d)
}

func (g *graces) forget(d *doubt) {
	delete(g.by, d.session)
	heap.Remove(&g.heap, d.place)
}

// load begins anew with the doubts of a state that was loaded: their graces
// run from now.
func (g *graces) load(doubts func(yield func(state.SessionChange) bool)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heap, g.by = nil, map[vera.SessionID]*doubt{}
	wall := time.Now()
	for c := range doubts {
		g.start(wall, &c)
	}
	g.poke()
}

// run acts on the graces until stop is closed.
func (g *graces) run(stop <-chan struct{}) {
	timer := time.NewTimer(graceIdle)
	defer timer.Stop()
	for {
		timer.Reset(g.look())
		select {
		case <-timer.C:
		case <-g.wake:
		case <-stop:
			return
		}
	}
}

// look does what is due and returns how long nothing will be.
func (g *graces) look() time.Duration {
	g.mu.Lock()
	wall := time.Now()
	now := g.clock.now(wall)
	var due []state.Command
	if g.proof.given {
		due = g.due(now)
	}
	ask := g.leading && !g.proof.asked && len(g.heap) > 0 && g.heap[0].next <= now
	if ask {
		g.proof = proof{asked: true, upTo: now}
	}
	within := graceIdle
	if len(g.heap) > 0 {
		within = min(graceStep, max(g.heap[0].next-now, 0))
		if within == 0 { // waits for the proof, or for somebody else's expiry
			within = graceStep
		}
	}
	g.clock.plan(wall, within)
	g.mu.Unlock()
	if len(due) > 0 {
		g.expire(due)
	}
	if ask {
		g.barrier(g.proved)
	}
	return within
}

// proved is told that the barrier was passed.
func (g *graces) proved(_, term uint64, err error) {
	g.mu.Lock()
	g.proof.given, g.proof.term = err == nil, term
	g.proof.asked = err == nil
	g.mu.Unlock()
	g.poke()
}

// due takes the doubts that the proof serves, if this peer still leads.
func (g *graces) due(now time.Duration) (all []state.Command) {
	proof := g.proof
	g.proof.asked, g.proof.given = false, false
	if !g.leading || !g.leads(proof.term) {
		return nil
	}
	for len(g.heap) > 0 && g.heap[0].next <= proof.upTo {
		d := g.heap[0]
		if !g.missed(d) {
			g.forget(d)
			continue
		}
		all = append(all, state.Command{Kind: state.Expire, Session: d.session, Life: d.life, Since: d.since})
		d.next = now + graceAgain
		heap.Fix(&g.heap, 0)
	}
	return all
}

func (d *doubt) before(other *doubt) bool { return d.next < other.next }

func (d *doubt) stand(place int) { d.place = place }
