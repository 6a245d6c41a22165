package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// load has many clients, spread over the peers, put one entry after another for
// a while, and returns how long each took.
func load(s system, clients int, span time.Duration) ([]time.Duration, error) {
	all, err := connect(s, clients)
	if err != nil {
		return nil, err
	}
	took := make([][]time.Duration, clients)
	errs := make([]error, clients)
	var running sync.WaitGroup
	warm := time.Now().Add(span / 5)
	end := warm.Add(span)
	for i, c := range all {
		running.Go(func() {
			list := fmt.Sprintf("load-%d", i)
			for {
				start := time.Now()
				if start.After(end) {
					return
				}
				if errs[i] = c.put(list); errs[i] != nil {
					return
				}
				if start.After(warm) {
					took[i] = append(took[i], time.Since(start))
				}
			}
		})
	}
	running.Wait()
	var whole []time.Duration
	for i, c := range all {
		whole = append(whole, took[i]...)
		errs = append(errs, c.close())
	}
	return whole, errors.Join(errs...)
}

// connect dials many clients, some at a time.
func connect(s system, clients int) ([]client, error) {
	all := make([]client, clients)
	errs := make([]error, clients)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(clients, 16) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < clients; i = int(next.Add(1)) - 1 {
				if all[i], errs[i] = s.dial(i%peers, false); errs[i] == nil {
					errs[i] = all[i].put("first")
				}
			}
		})
	}
	running.Wait()
	return all, errors.Join(errs...)
}
