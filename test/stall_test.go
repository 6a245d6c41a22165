package test

import (
	"sync"
	"time"
)

// stallWatch notices when this machine did nothing for a while, as a busy or a
// suspended one does. What is late by no more than that is nobody's fault.
type stallWatch struct {
	stop    chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	stalls []stall
}

// stall is a time for which nothing went on.
type stall struct {
	end  time.Time
	lost time.Duration
}

// machine is watched while tests run.
var machine = stallWatch{stop: make(chan struct{})}

// run looks every few milliseconds whether it is let to.
func (w *stallWatch) run() {
	const pace, ordinary = 5 * time.Millisecond, 50 * time.Millisecond
	beat := time.NewTicker(pace)
	defer beat.Stop()
	for last := time.Now(); ; {
		select {
		case <-beat.C:
		case <-w.stop:
			return
		}
		now := time.Now()
		if lost := now.Sub(last) - pace; lost > ordinary {
			w.mu.Lock()
			w.stalls = append(w.stalls, stall{now, lost})
			w.mu.Unlock()
		}
		last = now
	}
}

// since returns for how long nothing went on since then. A peer, which must
// also be let to, may have lost as much again.
func (w *stallWatch) since(start time.Time) (lost time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stalls {
		if s.end.After(start) {
			lost += 2 * s.lost
		}
	}
	return lost
}

// late says whether something that had to happen within a bound of start came
// later than that, beyond slack and what the machine lost.
func late(start, came time.Time, bound time.Duration) bool {
	return came.Sub(start) > bound+slack+machine.since(start)
}
