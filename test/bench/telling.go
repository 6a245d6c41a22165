package main

import (
	"sync/atomic"
	"time"
)

// telling measures how long it takes until the last of many watchers, spread
// over the peers, is told of one change.
func (p *plan) telling(s system, r *result) error {
	if p.changes == 0 {
		return nil
	}
	var missing atomic.Int64
	last := make(chan time.Time, 1)
	watchers := make([]client, 0, p.watchers)
	defer func() {
		for _, w := range watchers {
			_ = w.close() // what it measured is taken
		}
	}()
	for i := range p.watchers {
		w, err := s.dial(i%peers, false)
		if err != nil {
			return err
		}
		watchers = append(watchers, w)
		if err := w.watch("told", func() {
			if missing.Add(-1) == 0 {
				last <- time.Now()
			}
		}); err != nil {
			return err
		}
	}
	c, err := s.dial(0, false)
	if err != nil {
		return err
	}
	defer c.close()
	for range p.changes {
		missing.Store(int64(p.watchers))
		start := time.Now()
		if err := c.put("told"); err != nil {
			return err
		}
		select {
		case end := <-last:
			r.tell = append(r.tell, end.Sub(start))
			pause(500 * time.Millisecond) // ZooKeeper's watchers set theirs again
		case <-time.After(20 * time.Second):
			return errUntold
		}
	}
	return nil
}
