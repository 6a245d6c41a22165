package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vera"
)

var (
	// ErrDoubt ends a leadership for time: nobody has confirmed for long that
	// the item is there, so it may be gone. It may also come back.
	ErrDoubt = errors.New("the item may be gone by now: nobody confirmed it in time")
	// ErrResigned ends an election that was given up.
	ErrResigned = errors.New("resigned")
)

// ElectionState is how an Election stands.
type ElectionState string

// The states of an Election.
const (
	ElectionWaiting   ElectionState = "waiting"   // somebody else leads, or it is not safe yet
	ElectionElected   ElectionState = "elected"   // this one leads
	ElectionSuspended ElectionState = "suspended" // it leads still, but no peer that it reaches is in touch: it may end soon
	ElectionLost      ElectionState = "lost"      // it led and must have stopped, or it is over
)

// Election is an item on a list whose head leads.
//
// It leads at a moment only if its item was told to be the head, which it then
// is until it is removed, and the moment is before the end of what pings have
// promised, less a margin: a tenth of the promise, 20 ms at least. The clock
// counts the time that the machine sleeps. All questions are answered by the
// clock, whether or not a timer ran.
type Election struct {
	client *Client
	handle *Handle
	taker  taker
	fence  uint64
	now    func() time.Duration
	done   chan struct{} // closed when it is over

	mu      sync.Mutex
	head    bool
	safety  safety
	inDoubt bool
	led     bool          // it led once
	leads   *leadership   // nil: none
	turned  chan struct{} // closed when leads or final changes
	final   error         // why it is over; nil: it is not
}

// leadership is one time of leading, from when it was safe to when it was not.
type leadership struct {
	over  chan struct{} // closed when cause is set
	cause error
}

// Elect puts data onto a list, whose head leads. It returns when the item is
// there; Leader waits until it leads. A session whose grace is not above the
// margin could never lead and is refused.
func (c *Client) Elect(ctx context.Context, path string, data any) (*Election, error) {
	grace := time.Duration(c.Session().GraceMs) * time.Millisecond
	if c.o.Grace < 0 || grace <= leastMargin {
		return nil, vera.Errorf(vera.InvalidParameter, "grace: an election needs more than %v, or nothing is ever safe; it is %v", leastMargin, grace)
	}
	h, _, err := c.Push(ctx, path, data, Limit(0))
	if err != nil {
		return nil, fmt.Errorf("elect: %w", err)
	}
	e := &Election{client: c, handle: h, fence: h.version, now: c.now, done: make(chan struct{}), turned: make(chan struct{})}
	e.taker = taker{limit: 1, news: e.observe, fail: e.blind}
	if !c.call(func() { e.begin() }) {
		return nil, c.Err()
	}
	return e, nil
}

// begin has the loop look after the election.
func (e *Election) begin() {
	c := e.client
	switch {
	case c.closing:
		e.end(ErrClosed)
		return
	case e.handle.reason != "":
		e.end(ErrSessionEnded)
		return
	}
	c.elections[e] = true
	for _, l := range c.links {
		l.pinged = c.now() - time.Hour // what pings have promised so far does not count for this item
	}
	e.doubted(c.state() != StateConnected)
	w := c.watch(e.handle.path)
	w.takers = append(w.takers, &e.taker)
	if w.shown != nil {
		e.observe(w)
	}
}

// blind is called by the loop when the list cannot be watched: the item would
// only be in others' way.
func (e *Election) blind(why error) {
	e.client.endElection(e, why)
	e.client.enqueue(e.handle.removal())
}

// observe is called by the loop with what the list is. Behind the item's own
// index the list holds it, unless it is gone.
func (e *Election) observe(w *watched) {
	if w.shown.index < e.fence {
		return
	}
	if len(w.shown.items) > 0 && w.shown.items[0].Version <= e.fence {
		if w.shown.items[0].Version == e.fence {
			e.lead()
		}
		return
	}
	if w.shown.covers(1) {
		reason := w.reasons[e.fence]
		if reason == "" {
			reason = "expired"
		}
		e.client.lose(e.handle, reason)
	}
}

// endElectionsOf ends the elections that an item stands in.
func (c *Client) endElectionsOf(h *Handle, why error) {
	for e := range c.elections {
		if e.handle == h {
			c.endElection(e, why)
		}
	}
}

// endElections ends all of them.
func (c *Client) endElections(why error) {
	for e := range c.elections {
		c.endElection(e, why)
	}
}

func (c *Client) endElection(e *Election, why error) {
	delete(c.elections, e)
	if w := c.watches[e.handle.path]; w != nil {
		c.unwatch(w, &e.taker)
	}
	e.end(why)
}

// turn tells those who wait that something changed. The caller holds mu.
func (e *Election) turn() {
	close(e.turned)
	e.turned = make(chan struct{})
}

// lead takes the word that the item is the head.
func (e *Election) lead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.head = true
	e.settle()
}

// cover takes what a ping was promised. A leadership whose time ran out before
// is over all the same.
func (e *Election) cover(sent, safe time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	e.safety.cover(sent, safe)
	e.settle()
}

func (e *Election) doubted(doubt bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inDoubt = doubt
}

// end ends the election for good.
func (e *Election) end(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.final != nil {
		return
	}
	e.final = why
	e.stop(why)
	close(e.done)
	e.turn()
}

// settle makes the leadership what it is at this moment. The caller holds mu.
func (e *Election) settle() {
	safe := e.head && e.final == nil && e.safety.holds(e.now())
	switch {
	case e.leads != nil && !safe:
		e.stop(ErrDoubt)
	case e.leads == nil && safe:
		e.leads, e.led = &leadership{over: make(chan struct{})}, true
		e.watchClock(e.leads)
	default:
		return
	}
	e.turn()
}

// stop ends the leadership, if there is one. The caller holds mu.
func (e *Election) stop(why error) {
	if e.leads != nil {
		e.leads.cause = why
		close(e.leads.over)
		e.leads = nil
	}
}

// watchClock has the clock looked at when the leadership's time may be over,
// and now and then before: timers stand still while the machine sleeps. The
// caller holds mu.
func (e *Election) watchClock(l *leadership) {
	time.AfterFunc(max(min(e.safety.end()-e.now(), marginOf(e.safety.safe)), time.Millisecond), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.leads != l {
			return
		}
		e.settle()
		if e.leads == l {
			e.watchClock(l)
		}
	})
}

// Fence returns the item's version. Whatever the leader does elsewhere should
// bring it along, so that a lower one than the highest seen can be refused.
func (e *Election) Fence() uint64 { return e.fence }

// Handle returns the item.
func (e *Election) Handle() *Handle { return e.handle }

// Done is closed when the election is over: the item is gone, or was given up,
// or the client is closed.
func (e *Election) Done() <-chan struct{} { return e.done }

// Err returns nil until Done is closed, then why: ErrSessionEnded, ErrResigned,
// ErrClosed.
func (e *Election) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.final
}

// State returns how the election stands at this moment.
func (e *Election) State() ElectionState {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle()
	switch {
	case e.leads != nil && e.inDoubt:
		return ElectionSuspended
	case e.leads != nil:
		return ElectionElected
	case e.final != nil || e.led:
		return ElectionLost
	}
	return ElectionWaiting
}

// Until returns for how long it may lead from now on if nobody confirms
// anything more; 0 when it does not lead.
func (e *Election) Until() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settle(); e.leads == nil {
		return 0
	}
	return max(e.safety.end()-e.now(), 0)
}

// Resign gives the item up, as Remove of its Handle does. All that was led has
// ended before the removal is sent: who works under a Leader context should
// have stopped before.
func (e *Election) Resign(ctx context.Context) error { return e.handle.Remove(ctx) }
