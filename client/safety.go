package client

import "time"

// leastMargin is the least time before the end of its safety at which a
// client stops leading.
const leastMargin = 20 * time.Millisecond

// marginOf returns how long before the end a client stops that was promised
// safe: a tenth of it.
func marginOf(safe time.Duration) time.Duration { return max(safe/10, leastMargin) }

// safety is what pings have learnt of how long an item is sure to stay. All
// moments are those of one clock that counts sleep. The zero value knows of no
// safety at all.
type safety struct {
	until time.Duration // the item stays until then, whatever happens
	safe  time.Duration // what the ping was promised that this comes from
}

// cover takes note of a ping that was sent at a moment, and answered with a
// promise. The promise counts from when the server had the ping, so counting
// from its sending errs to the safe side.
func (s *safety) cover(sent, safe time.Duration) {
	if safe > 0 && sent+safe > s.until {
		s.until, s.safe = sent+safe, safe
	}
}

// end returns the moment from which on a client must not lead.
func (s *safety) end() time.Duration { return s.until - marginOf(s.safe) }

// holds says whether a client may lead at a moment.
func (s *safety) holds(now time.Duration) bool { return now < s.end() }
