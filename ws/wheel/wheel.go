package wheel

import "time"

// Entry is one deadline. It is embedded in what it is about, which Value
// names, and must not be copied while it is set.
type Entry[T any] struct {
	Value      T
	due        int64 // in ticks
	next, prev *Entry[T]
}

// Set says whether the entry waits on a wheel.
func (e *Entry[T]) Set() bool { return e.next != nil }

// Wheel holds entries until they are due.
type Wheel[T any] struct {
	tick  time.Duration
	now   int64      // the last tick that was handled
	slots []Entry[T] // heads of rings
	count int
}

// New returns an empty wheel at time 0. One turn takes slots ticks.
func New[T any](tick time.Duration, slots int) *Wheel[T] {
	w := &Wheel[T]{tick: tick, slots: make([]Entry[T], slots)}
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
	return w
}

// Len returns the number of entries that wait.
func (w *Wheel[T]) Len() int { return w.count }

// Set gives the entry a deadline, instead of the one that it may have. A
// deadline that is over fires at the next tick.
func (w *Wheel[T]) Set(e *Entry[T], due time.Duration) {
	w.Remove(e)
	e.due = max(int64((due+w.tick-1)/w.tick), w.now+1)
	head := &w.slots[e.due%int64(len(w.slots))]
	e.next, e.prev = head, head.prev
	e.prev.next, head.prev = e, e
	w.count++
}

// Remove takes the entry's deadline away, if it has one.
func (w *Wheel[T]) Remove(e *Entry[T]) {
	if e.next == nil {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.next, e.prev = nil, nil
	w.count--
}

// Advance tells the time, which must not go back, and appends to fired the
// entries that are due. They are no longer on the wheel.
func (w *Wheel[T]) Advance(now time.Duration, fired []*Entry[T]) []*Entry[T] {
	from, to := w.now+1, int64(now/w.tick)
	if to < from {
		return fired
	}
	w.now = to
	for slot := max(from, to-int64(len(w.slots))+1); slot <= to; slot++ {
		head := &w.slots[slot%int64(len(w.slots))]
		for e := head.next; e != head; {
			next := e.next
			if e.due <= to {
				w.Remove(e)
				fired = append(fired, e)
			}
			e = next
		}
	}
	return fired
}
