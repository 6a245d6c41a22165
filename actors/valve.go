package actors

import (
	"sync/atomic"
	"time"

	"vera"
)

// valve bounds what a connection has under way: requests from their arrival
// until their answer is handed to the socket, and the bytes that they brought.
// It is shut when there is too much, and the socket is not read until half of
// it is gone.
type valve struct {
	count  atomic.Int32
	bytes  atomic.Int64
	shut   atomic.Bool // the socket was told to wait
	paused atomic.Bool // for its rate

	// The reader's own: when the requests so far would all have come, had they
	// come at the full rate (the generic cell rate algorithm).
	paced time.Duration
}

// burst is how far a client may be ahead of its rate.
const burst = time.Second

// admit counts a request that came. It returns for how long nothing more
// should be read, 0 when the rate is kept.
func (v *valve) admit(size int, now time.Duration, l *vera.Limits) (pause time.Duration) {
	v.count.Add(1)
	v.bytes.Add(int64(size))
	v.paced = max(v.paced, now) + time.Second/time.Duration(max(l.Rate, 1))
	return max(0, v.paced-now-burst)
}

// open says whether the socket may be read on. After false, release or resume
// will say so.
func (v *valve) open(l *vera.Limits) bool {
	if v.within(l, 1) {
		return true
	}
	v.shut.Store(true)
	// What was released before shut was seen must not be missed.
	return v.within(l, 2) && v.shut.CompareAndSwap(true, false)
}

// within says whether less than one part of what is allowed is under way.
func (v *valve) within(l *vera.Limits, part int) bool {
	return !v.paused.Load() && int(v.count.Load()) < max(l.InFlight/part, 1) && int(v.bytes.Load()) < max(l.Outbox/part, 1)
}

// release counts requests that were answered, and says whether the socket is
// to be told that it may be read again.
func (v *valve) release(count, size int, l *vera.Limits) (resume bool) {
	v.count.Add(-int32(count))
	v.bytes.Add(-int64(size))
	return v.reopen(l)
}

// reopen is release of nothing.
func (v *valve) reopen(l *vera.Limits) bool {
	return v.shut.Load() && v.within(l, 2) && v.shut.CompareAndSwap(true, false)
}
