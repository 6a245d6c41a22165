package socket

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"vera/ws/wheel"
)

const (
	tick  = 10 * time.Millisecond
	slots = 512

	// stalled is the longest time that passes at once. When ticks come later than
	// that the process stood still, and was not just busy; the rest does not
	// count.
	stalled = 250 * time.Millisecond

	never = time.Duration(math.MaxInt64)
)

// clock tells a group's time and looks at each socket when it is due. Its time
// is patient: it stands still while the process does. It is never 0, so that a
// moment of 0 can mean none.
type clock struct {
	start time.Time
	late  atomic.Int64 // nanoseconds that were given back
	stop  chan struct{}
	wake  chan struct{} // the wheel is not empty any more

	mu    sync.Mutex // also for entry, due and over of the sockets
	wheel *wheel.Wheel[*Socket]
	fired []*wheel.Entry[*Socket] // of run
}

func newClock() *clock {
	return &clock{
		start: time.Now().Add(-time.Second),
		stop:  make(chan struct{}),
		wake:  make(chan struct{}, 1),
		wheel: wheel.New[*Socket](tick, slots),
	}
}

func (c *clock) now() time.Duration {
	return time.Since(c.start) - time.Duration(c.late.Load())
}

// add makes the clock look at s at the given moment, or earlier when that was
// asked for before.
func (c *clock) add(s *Socket, due time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.over {
		return
	}
	due = min(due, time.Duration(s.due.Load()))
	s.due.Store(int64(due))
	if c.wheel.Set(&s.entry, due); c.wheel.Len() == 1 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// sooner makes the clock look at s at the given moment if it would do so later.
// One that is being looked at, or is not added yet, is remembered.
func (c *clock) sooner(s *Socket, due time.Duration) {
	if int64(due) >= s.due.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(due) < s.due.Load() {
		if s.due.Store(int64(due)); s.entry.Set() {
			c.wheel.Set(&s.entry, due)
		}
	}
}

// remove makes the clock forget s for good.
func (c *clock) remove(s *Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.over = true
	c.wheel.Remove(&s.entry)
}

func (c *clock) close() { close(c.stop) }

// run looks at what is due, every tick, until the clock is closed. While there
// is no socket it sleeps.
func (c *clock) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		if gap := now.Sub(last); gap > stalled {
			c.late.Add(int64(gap - stalled))
		}
		last = now
		if c.fire() {
			continue
		}
		ticker.Stop()
		select {
		case <-c.stop:
			return
		case <-c.wake:
		}
		ticker.Reset(tick)
		last = time.Now()
	}
}

// fire looks at what is due and says whether anything is left to wait for.
func (c *clock) fire() bool {
	now := c.now()
	c.mu.Lock()
	c.fired = c.wheel.Advance(now, c.fired[:0])
	for _, e := range c.fired {
		e.Value.due.Store(int64(never))
	}
	waits := len(c.fired) > 0 || c.wheel.Len() > 0
	c.mu.Unlock()
	for _, e := range c.fired {
		c.add(e.Value, e.Value.judge(now))
	}
	clear(c.fired)
	return waits
}
