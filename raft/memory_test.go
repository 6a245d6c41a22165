package raft

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/test/bubble"
)

// cluster is peers in one Memory, in a bubble of fake time.
type cluster struct {
	*Memory
	t     testing.TB
	names []string
	peers map[string]*Raft
	with  func(*Options) // changes a peer's options before it is opened; may be nil

	mu    sync.Mutex
	fatal map[string][]error // what Options.Fatal was told
}

// newCluster opens peers with these names.
func newCluster(t testing.TB, names ...string) *cluster {
	t.Helper()
	return newClusterWith(t, nil, names...)
}

// newClusterWith opens peers with options that are changed a little.
func newClusterWith(t testing.TB, with func(*Options), names ...string) *cluster {
	t.Helper()
	c := &cluster{Memory: NewMemory(), t: t, names: names, peers: map[string]*Raft{}, with: with, fatal: map[string][]error{}}
	if err := c.Form(names...); err != nil {
		t.Fatal(err)
	}
	c.open(names...)
	return c
}

// open opens peers at the same time, since each needs others.
func (c *cluster) open(names ...string) {
	c.t.Helper()
	var opening sync.WaitGroup
	for _, name := range names {
		opening.Go(func() {
			r, err := Open(context.Background(), c.options(name))
			if err != nil {
				c.t.Errorf("open %s: %v", name, err)
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.peers[name] = r
		})
	}
	opening.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// options are those that a peer is opened with.
func (c *cluster) options(name string) Options {
	o := Options{Name: name, Memory: c.Memory, FailoverGrace: 10 * time.Second, Logger: zerolog.Nop()}
	o.Fatal = func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fatal[name] = append(c.fatal[name], err)
	}
	if c.with != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.with(&o)
	}
	return o
}

// others returns the names of all peers but one.
func (c *cluster) others(name string) []string {
	return slices.DeleteFunc(slices.Clone(c.names), func(n string) bool { return n == name })
}

// told returns what Options.Fatal of a peer was told.
func (c *cluster) told(name string) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fatal[name]
}

func (c *cluster) close() {
	c.HealAll()
	for _, name := range c.names {
		c.Mend(name)
	}
	for name, r := range c.peers {
		if err := r.Close(); err != nil {
			c.t.Errorf("close %s: %v", name, err)
		}
	}
}

// crash kills a peer and stops what is left of it.
func (c *cluster) crash(name string) {
	c.Crash(name)
	_ = c.peers[name].Close()
	delete(c.peers, name)
}

// leader waits until the peers that run agree on a leader, and returns its name.
func (c *cluster) leader(among ...string) string {
	c.t.Helper()
	for range 600 {
		names := map[string]bool{}
		for _, name := range among {
			names[c.peers[name].Status().Leader] = true
		}
		for name := range names {
			if r := c.peers[name]; len(names) == 1 && r != nil && r.Leading() {
				return name
			}
		}
		advance(10 * time.Millisecond)
	}
	c.t.Fatal("no leader within 6 s")
	return ""
}

func TestThreePeersInMemoryAgree(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.close()
		for _, name := range c.names {
			r := c.peers[name]
			id, life := session(t, r, name)
			reply := propose(t, r, push(id, life, "/data/x", 1))[0]
			if reply.Code != vera.OK {
				t.Fatalf("%s: %+v", name, reply)
			}
		}
		leader := c.leader(c.names...)
		c.crash(leader)
		began := time.Now()
		for name, r := range c.peers {
			id, life := session(t, r, name)
			propose(t, r, push(id, life, "/data/x", 2))
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("without the leader a push took %v", took)
		}
		c.open(leader)
		barrier(t, c.peers[leader])
		for _, r := range c.peers {
			l, _ := r.Machine().List("/data/x")
			if l.Len() != 5 {
				t.Errorf("%s has %d items, not 5", r.Name(), l.Len())
			}
		}
	})
}
