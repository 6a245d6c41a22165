package main

import (
	"errors"
	"sync"
	"time"
)

var errUntold = errors.New("not all watchers were told within 20 s")

// A new client tries every so often after a leader's kill, since what was asked
// early may be answered late, or never.
const (
	triers   = 40
	tryEvery = 50 * time.Millisecond
)

// failing kills the leader and measures how long it takes until a client on
// another peer has its next entry committed. The killed peer comes back before
// the next kill.
func (p *plan) failing(s system, r *result) error {
	for range p.kills {
		leader, err := s.leader()
		if err != nil {
			return err
		}
		took, err := afterKill(s, leader)
		if err != nil {
			return err
		}
		r.failover = append(r.failover, took)
		if err := s.process(leader).run(); err != nil {
			return err
		}
		if err := awaitPut(s); err != nil {
			return err
		}
		pause(2 * time.Second) // the one that came back catches up
	}
	return nil
}

// afterKill kills the leader and returns how long it took until the first of
// many clients of the others had an entry committed.
func afterKill(s system, leader int) (time.Duration, error) {
	all := make([]client, triers)
	for i := range all {
		c, err := s.dial((leader+1+i%(peers-1))%peers, false)
		if err != nil {
			return 0, err
		}
		if err := c.put("failover"); err != nil {
			return 0, err
		}
		all[i] = c
	}
	if err := s.process(leader).kill(); err != nil {
		return 0, err
	}
	start := time.Now()
	first := make(chan time.Duration, triers)
	stop := make(chan struct{})
	var trying sync.WaitGroup
	for i, c := range all {
		trying.Go(func() {
			pause(time.Duration(i) * tryEvery)
			for {
				if c.put("failover") == nil {
					first <- time.Since(start)
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(tryEvery):
				}
			}
		})
	}
	var took time.Duration
	var err error
	select {
	case took = <-first:
	case <-time.After(30 * time.Second):
		err = errors.New("nothing was committed for 30 s after the leader's end")
	}
	close(stop)
	for _, c := range all {
		_ = c.close() // which ends what it waits for
	}
	trying.Wait()
	return took, err
}
