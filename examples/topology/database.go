package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"vera/client"
)

// write is one entry of the log, which is all that a database has.
type write struct{ ID, Value string }

// store is a database.
type store struct {
	mu    sync.Mutex
	log   []write
	fence uint64      // of the primary that the log was had from, which may be itself
	order []database  // as the list was last told
	lead  *leadership // the last one; nil: this never was the primary
}

// leadership is a time of being the primary.
type leadership struct {
	context.Context                // until it must have stopped, by the clock
	fence           uint64         // its item's version
	copied          map[uint64]int // by another's item: how much of the log that one has
}

// serve is the process of a database: it has a place on the list until ctx is
// done. When it lost that, it goes to the end.
func serve(ctx context.Context, server, name string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &store{}
	web := &http.Server{Handler: s.routes()}
	go web.Serve(listener)
	defer web.Close()
	c, err := client.Connect(ctx, []string{server}, client.Options{Grace: grace, Heartbeat: grace})
	if err != nil {
		return err
	}
	defer c.Close() // its place is free at once
	go s.follow(ctx, c)
	for {
		e, err := c.Elect(ctx, list, database{Name: name, URL: "http://" + listener.Addr().String()})
		if err != nil {
			return err
		}
		for err == nil {
			err = s.stand(ctx, e)
		}
		if !errors.Is(err, client.ErrSessionEnded) {
			return err
		}
		log.Print("lost its place: ", err)
	}
}

// follow keeps the order as the list has it.
func (s *store) follow(ctx context.Context, c *client.Client) {
	for n, err := range c.Watch(ctx, list) {
		order, wrong := ordered(n.Items)
		if err = errors.Join(err, wrong); err != nil {
			if ctx.Err() == nil {
				log.Print(err)
			}
			return
		}
		s.mu.Lock()
		s.order = order
		s.mu.Unlock()
	}
}

// stand waits until this is the first, and is the primary until it is not.
func (s *store) stand(ctx context.Context, e *client.Election) error {
	leads, err := e.Leader(ctx)
	if err != nil {
		return err
	}
	l := &leadership{leads, e.Fence(), map[uint64]int{}}
	s.mu.Lock()
	s.lead, s.fence = l, max(s.fence, l.fence)
	log.Printf("is the primary, with fence %d and %d writes", l.fence, len(s.log))
	s.mu.Unlock()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for leads.Err() == nil { // the standby has its writes already, unless it is new
		s.mu.Lock()
		order := s.order
		s.mu.Unlock()
		for _, d := range order {
			if d.fence > l.fence {
				_ = s.copyTo(leads, l, d) // whoever can't take it now is asked again
			}
		}
		select {
		case <-again.C:
		case <-leads.Done():
		}
	}
	log.Print("is the primary no more: ", context.Cause(leads))
	return nil
}

// write takes a client's write. There is no answer before the standby has it.
func (s *store) write(ctx context.Context, entry write) error {
	s.mu.Lock()
	l, order := s.lead, s.order
	if l == nil || l.Err() != nil { // a question to the clock
		s.mu.Unlock()
		return errors.New("this is not the primary")
	}
	if len(order) < 2 || order[0].fence != l.fence {
		s.mu.Unlock()
		return errors.New("there is no standby")
	}
	if !slices.Contains(s.log, entry) { // else it is sent again, by a client that heard no answer
		s.log = append(s.log, entry)
	}
	s.mu.Unlock()
	return s.copyTo(ctx, l, order[1])
}

// copyTo sends another database what it lacks of the log.
func (s *store) copyTo(ctx context.Context, l *leadership, d database) error {
	s.mu.Lock()
	if s.fence != l.fence {
		s.mu.Unlock()
		return errors.New("another one is the primary")
	}
	r := replication{l.fence, l.copied[d.fence], nil}
	r.Writes = slices.Clone(s.log[r.From:])
	s.mu.Unlock()
	if err := post(ctx, d.URL+"/replicate", r); err != nil {
		return fmt.Errorf("%s: %w", d.Name, err)
	}
	s.mu.Lock()
	l.copied[d.fence] = max(l.copied[d.fence], r.From+len(r.Writes))
	s.mu.Unlock()
	return nil
}

// replicate takes what a primary sends, unless that one is late. Of one primary
// the log only grows, in whatever order its words arrive; a new one begins with
// all of its log, which takes the place of what was had before.
func (s *store) replicate(r replication) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Fence < s.fence:
		return fmt.Errorf("fence %d is that of an earlier primary: now it is %d", r.Fence, s.fence)
	case r.Fence > s.fence && r.From > 0 || r.From > len(s.log):
		return fmt.Errorf("what comes before write %d is not here", r.From)
	case r.Fence > s.fence || r.From+len(r.Writes) > len(s.log):
		s.fence, s.log = r.Fence, append(s.log[:r.From:r.From], r.Writes...)
	}
	return nil
}
