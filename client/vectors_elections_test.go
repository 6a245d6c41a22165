package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"

	"github.com/coder/websocket"
)

type electionVector struct {
	Name     string
	GraceMs  *int64
	SafeMs   int64
	Delay    time.Duration
	List     []uint64
	Timeline []moment
}

// moment is a moment of a timeline: all but At are what happens then.
type moment struct {
	At                 time.Duration
	Elect, Push, Gone  uint64
	Reason             string
	Refused            *struct{ Code, Says string }
	SafeMs             *int64
	Mute, Suspended    *bool
	Cut, Back, Resumed bool
	Close              int
	Resign             bool
	Wall               int64 // this client does not look at the wall clock
	Frozen, Asleep     time.Duration
	Expect             *expectation
}

type expectation struct {
	Leads bool
	State string
	Fence uint64
	Final *bool
}

// Whether a client leads is what the vectors say, and never anything that no
// ping promised.
func TestElectionVectors(t *testing.T) {
	for _, v := range readVectors[electionVector](t, "elections.json") {
		t.Run(v.Name, func(t *testing.T) { bubble.Test(t, func(t *testing.T) { v.play(t) }) })
	}
}

// candidate is the client of a vector.
type candidate struct {
	t        *testing.T
	theatre  *theatre
	client   *Client
	election *Election
	leader   context.Context // of the latest leadership
	stop     context.CancelFunc
}

func (v *electionVector) play(t *testing.T) {
	s := newTheatre(t)
	s.items, s.safeMs, s.graceMs, s.delay = v.List, v.SafeMs, v.SafeMs, v.Delay*time.Millisecond
	s.index = slices.Max(append(v.List, s.index))
	o := s.options()
	if v.GraceMs != nil {
		s.graceMs = *v.GraceMs
	}
	client, err := Connect(t.Context(), []string{"http://p"}, o)
	if err != nil {
		t.Fatal(err)
	}
	c := &candidate{t: t, theatre: s, client: client, stop: func() {}}
	s.writes = c.write
	began := s.clock()
	for _, at := range v.Timeline {
		for s.clock() < began+at.At*time.Millisecond {
			<-time.After(min(10*time.Millisecond, began+at.At*time.Millisecond-s.clock()))
			c.check()
		}
		c.do(at)
	}
	c.stop()
	s.mu.Lock()
	s.up, s.muted = true, false
	s.mu.Unlock()
	<-time.After(time.Minute) // in fake time: it finds the server again
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if s.pushes > 1 {
		t.Errorf("%d items were pushed", s.pushes)
	}
}

// write answers what the client wants to change.
func (c *candidate) write(p *player, m saying) {
	s := c.theatre
	s.mu.Lock()
	version, items := s.next, s.items
	s.mu.Unlock()
	if m.Action == "push" {
		s.pushes++
		s.mu.Lock()
		s.held = []uint64{version}
		s.mu.Unlock()
		s.change(append(slices.Clone(items), version), "")
		p.ok(m, `,"index":%d,"etag":"%d","version":%d,"items":[]`, version, version, version)
		return
	}
	s.change(slices.DeleteFunc(slices.Clone(items), func(v uint64) bool { return v == m.Version }), "removed")
	p.ok(m, `,"index":%d,"etag":"1","items":[]`, s.index)
}

// do has happen what happens at a moment.
func (c *candidate) do(at moment) {
	s := c.theatre
	switch {
	case at.Elect != 0:
		c.elect(at)
	case at.Push != 0:
		s.change(append(slices.Clone(s.items), at.Push), "")
	case at.Gone != 0:
		s.change(slices.DeleteFunc(slices.Clone(s.items), func(v uint64) bool { return v == at.Gone }), at.Reason)
	case at.Cut:
		s.cut()
	case at.Back:
		s.back(at.Resumed)
	case at.Suspended != nil:
		for _, p := range s.all() {
			p.say(`{"action":"state","state":%q,"safeMs":0}`, map[bool]string{true: "suspended", false: "connected"}[*at.Suspended])
		}
	case at.Close != 0:
		s.back(false)
		for _, p := range s.all() {
			go p.socket.Close(websocket.StatusCode(at.Close), "")
		}
	case at.Resign:
		if err := c.election.Resign(context.Background()); err != nil {
			c.t.Error(err)
		}
	case at.Expect != nil:
		c.expect(at)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.SafeMs != nil {
		s.safeMs = *at.SafeMs
	}
	if at.Mute != nil {
		s.muted = *at.Mute
	}
	s.ahead += (at.Frozen + at.Asleep) * time.Millisecond
}

func (c *candidate) elect(at moment) {
	c.theatre.next = at.Elect
	e, err := c.client.Elect(context.Background(), theatrePath, struct{}{})
	if at.Refused != nil {
		refused, is := errors.AsType[*vera.Error](err)
		if !is || string(refused.Code) != at.Refused.Code || !strings.Contains(refused.Message, at.Refused.Says) {
			c.t.Errorf("refused with %v", err)
		}
		return
	}
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.election, c.stop = e, cancel
	go func() {
		for {
			leader, err := e.Leader(ctx)
			if err != nil {
				return
			}
			c.theatre.mu.Lock()
			c.leader = leader
			c.theatre.mu.Unlock()
			<-leader.Done()
		}
	}()
}

// leads asks in all ways whether the candidate leads.
func (c *candidate) leads() bool {
	c.theatre.mu.Lock()
	leader := c.leader
	c.theatre.mu.Unlock()
	byContext := leader != nil && leader.Err() == nil // first: nobody else has looked at the clock for it
	state := c.election.State()
	leads := state == ElectionElected || state == ElectionSuspended
	if byContext != leads {
		c.t.Errorf("at %v: the state is %s, and the leader's context alive: %v", c.theatre.clock(), state, byContext)
	}
	if left := c.election.Until(); (left > 0) != leads {
		c.t.Errorf("at %v: the state is %s, and it may lead for %v", c.theatre.clock(), state, left)
	}
	return leads
}

// check makes sure that nobody leads without a promise, or behind another.
func (c *candidate) check() {
	synctest.Wait()
	if c.election == nil || !c.leads() {
		return
	}
	s := c.theatre
	now := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now >= s.promised {
		c.t.Errorf("leads at %v, and no ping promised more than until %v", now, s.promised)
	}
	if !s.muted && s.up && (len(s.items) == 0 || s.items[0] != c.election.Fence()) {
		c.t.Errorf("leads at %v, and the list is %v", now, s.items)
	}
}

func (c *candidate) expect(at moment) {
	e, want := c.election, at.Expect
	if leads := c.leads(); leads != want.Leads {
		c.t.Errorf("at %d: leads: %v", at.At, leads)
	}
	if state := string(e.State()); want.State != "" && state != want.State {
		c.t.Errorf("at %d: it is %s, not %s", at.At, state, want.State)
	}
	if want.Fence != 0 && e.Fence() != want.Fence {
		c.t.Errorf("at %d: the fence is %d", at.At, e.Fence())
	}
	if want.Final != nil && (e.Err() != nil) != *want.Final {
		c.t.Errorf("at %d: over for good: %v", at.At, e.Err())
	}
}
