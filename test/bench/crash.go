package main

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// crashing measures how long after a client's TCP connection breaks a watcher
// on another peer is told, at rest and under load.
func (p *plan) crashing(s system, r *result) error {
	if p.crashes == 0 {
		return nil
	}
	watcher, err := s.dial(1, false)
	if err != nil {
		return err
	}
	defer watcher.close()
	told := make(chan struct{}, 1)
	if err := watcher.watch("crash", func() {
		select {
		case told <- struct{}{}:
		default:
		}
	}); err != nil {
		return err
	}
	atRest, err := p.deaths(s, told)
	if err != nil {
		return err
	}
	r.crashRest = append(r.crashRest, atRest...)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	failed := make(chan error, 1)
	busy.Go(func() { failed <- until(s, stop) })
	underLoad, err := p.deaths(s, told)
	close(stop)
	busy.Wait()
	r.crashLoad = append(r.crashLoad, underLoad...)
	return errors.Join(err, <-failed)
}

// until has 16 clients put until stop is closed.
func until(s system, stop <-chan struct{}) error {
	all, err := connect(s, 16)
	if err != nil {
		return err
	}
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, c := range all {
		running.Go(func() {
			for errs[i] == nil {
				select {
				case <-stop:
					return
				default:
					errs[i] = c.put(fmt.Sprintf("load-%d", i))
				}
			}
		})
	}
	running.Wait()
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// deaths has clients die, one after another. A client whose death nobody is
// told of within ten seconds is an error.
func (p *plan) deaths(s system, told <-chan struct{}) ([]time.Duration, error) {
	var took []time.Duration
	deadline := time.Now().Add(40 * time.Second) // slow systems need not do all
	for range p.crashes {
		if time.Now().After(deadline) {
			break
		}
		c, err := s.dial(0, true)
		if err != nil {
			return nil, err
		}
		if err := c.put("crash"); err != nil {
			return nil, err
		}
		if err := hear(told); err != nil { // of the entry
			return nil, err
		}
		pause(100 * time.Millisecond) // nothing of before is under way any more
		start := time.Now()
		if err := c.die(); err != nil {
			return nil, err
		}
		if err := hear(told); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
		_ = c.close() // what is left of it
	}
	return took, nil
}

func hear(told <-chan struct{}) error {
	select {
	case <-told:
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("a watcher was told nothing for 20 s")
	}
}

func pause(d time.Duration) { <-time.After(d) }
