package raft

import "time"

// patience is a clock that a stall does not move. Whoever looks at it says by
// when it will look again; if it looks later than that by more than slack, the
// process stood still, and so did everybody's chance to be heard: the time
// beyond is not counted. It never runs faster than the clock on the wall, so
// what waits for it is never early.
type patience struct {
	slack   time.Duration
	counted time.Duration // up to at
	at      time.Time     // the last look; its monotonic part counts
	most    time.Duration // that may be counted after at
}

// now returns the time counted. It stops a while after the planned look.
func (p *patience) now(wall time.Time) time.Duration {
	return p.counted + max(0, min(wall.Sub(p.at), p.most))
}

// plan says that it is looked at now, and will be within the time given.
func (p *patience) plan(wall time.Time, within time.Duration) {
	p.counted = p.now(wall)
	p.at = wall
	p.most = within + p.slack
}
