package actors

import "time"

const (
	grain  = 100 * time.Millisecond // how often wheels are turned
	spokes = 64                     // slots of a wheel: 6.4 s; what is due later goes round again
)

// alarm is a connection's wish to be called at a time. There is one a
// connection, and it is in one place at a time.
//
// connection → shard: something is under way that must not last for ever
// shard → connection: the time has come
type alarm struct {
	link
	of   *connection
	due  time.Duration // by the system's clock
	next *alarm        // in its slot
}

// wheel holds alarms by the time at which they are due, in slots of one grain
// (a hashed timing wheel, Varghese and Lauck 1987): an alarm is never early,
// and late by at most one grain.
type wheel struct {
	slots [spokes]*alarm
	turn  int64 // grains that have passed
	n     int
}

// add sets an alarm. It is not set yet.
func (w *wheel) add(a *alarm) {
	at := max(int64((a.due+grain-1)/grain), w.turn+1)
	slot := &w.slots[at%spokes]
	a.next, *slot = *slot, a
	w.n++
}

// advance turns the wheel up to now and passes on what is due.
func (w *wheel) advance(now time.Duration, ring func(*alarm)) {
	to := int64(now / grain)
	for from := max(w.turn+1, to-spokes+1); from <= to; from++ {
		slot := &w.slots[from%spokes]
		a := *slot
		*slot = nil
		for a != nil {
			next := a.next
			a.next = nil
			if int64((a.due+grain-1)/grain) > to {
				a.next, *slot = *slot, a
			} else {
				w.n--
				ring(a)
			}
			a = next
		}
	}
	w.turn = max(w.turn, to)
}
