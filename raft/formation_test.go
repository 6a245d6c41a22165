package raft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// late is a network on which everything takes its time.
type late struct {
	network
	mu     sync.Mutex
	random *rand.Rand
}

func (l *late) delay(most time.Duration) {
	l.mu.Lock()
	d := time.Duration(l.random.Int64N(int64(most)))
	l.mu.Unlock()
	<-time.After(d)
}

func (l *late) call(ctx context.Context, to target, what string, body []byte) ([]byte, error) {
	l.delay(50 * time.Millisecond)
	answer, err := l.network.call(ctx, to, what, body)
	l.delay(50 * time.Millisecond)
	return answer, err
}

// crowd are new peers that expect each other, without anything of Raft: who
// founds is in a cluster at once, and so is who joins.
type crowd struct {
	*Memory
	t       *testing.T
	random  *rand.Rand
	names   []string
	joins   map[string][]string
	expect  int
	mu      sync.Mutex
	founded []ClusterID
	all     map[string]*Raft
}

// newCrowd draws peers and whom each is told to join. Enough are expected that
// no two foundings can have all they need, and each knows of the next one.
func newCrowd(t *testing.T, seed uint64) *crowd {
	c := &crowd{Memory: NewMemory(), t: t, random: rand.New(rand.NewPCG(seed, 1)), joins: map[string][]string{}, all: map[string]*Raft{}}
	n := 2 + c.random.IntN(5)
	for i := range n {
		c.names = append(c.names, string(rune('a'+i)))
	}
	c.expect = max(2, n/2+1+c.random.IntN(n-n/2))
	c.expect = min(c.expect, n)
	for i, name := range c.names {
		join := []string{c.names[(i+1)%n] + ":1"}
		for _, other := range c.names {
			if c.random.IntN(2) == 0 && len(join) < n && !slices.Contains(join, other+":1") {
				join = append(join, other+":1")
			}
		}
		c.joins[name] = join
	}
	return c
}

func (c *crowd) open(name string) *Raft {
	o := Options{Name: name, Memory: c.Memory, Secret: secret, Join: c.joins[name], Expect: c.expect, Logger: zerolog.Nop()}
	if err := o.check(); err != nil {
		c.t.Error(err)
	}
	d, err := o.openDirectory()
	if err != nil {
		c.t.Error(err)
		return nil
	}
	r := &Raft{options: o, directory: d, book: newBook(), guests: guests{known: map[string]string{}}, membership: make(chan struct{}, 1)}
	r.lifetime, r.die = context.WithCancel(context.Background())
	if err := r.speak(); err != nil {
		c.t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.network = &late{network: r.network, random: rand.New(rand.NewPCG(c.random.Uint64(), 2))}
	c.all[name] = r
	return r
}

func (c *crowd) close(r *Raft) {
	r.die()
	if err := errors.Join(r.network.close(), r.directory.release()); err != nil {
		c.t.Error(err)
	}
}

// form has a peer become one of a cluster. It is stopped and started a few
// times meanwhile.
func (c *crowd) form(name string) {
	c.mu.Lock()
	dice := rand.New(rand.NewPCG(c.random.Uint64(), 3))
	c.mu.Unlock()
	<-time.After(time.Duration(dice.Int64N(int64(2 * time.Second))))
	for restarts := dice.IntN(3); ; restarts-- {
		within := time.Duration(dice.Int64N(int64(3 * time.Second)))
		if restarts <= 0 {
			within = time.Minute
		}
		r := c.open(name)
		ctx, cancel := context.WithTimeout(context.Background(), within)
		done := c.gather(ctx, r)
		cancel()
		if done {
			return
		}
		if restarts <= 0 {
			c.t.Errorf("%s is in no cluster: %+v", name, r.hello())
			return
		}
		c.close(r)
	}
}

func (c *crowd) gather(ctx context.Context, r *Raft) bool {
	for {
		found, cluster, err := r.formation(ctx)
		if err != nil {
			return false
		}
		err = r.directory.become(func(s *standing) error {
			if s.Promise != nil && s.Promise.Cluster != cluster {
				return errPromised
			}
			s.Cluster, s.Formed, s.Promise = cluster, true, nil
			return nil
		})
		if found {
			c.mu.Lock()
			c.founded = append(c.founded, cluster)
			c.mu.Unlock()
		}
		if err == nil {
			return true
		}
	}
}

// Peers start in any order, with any delays, restarts and partitions; their
// lists to join overlap somehow: one cluster is founded, never two, and all are
// in it once all can talk.
func TestExpectedPeersFormOneCluster(t *testing.T) {
	runs := uint64(2000)
	if testing.Short() {
		runs = 200
	}
	for seed := range runs {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { formOne(t, seed) }) }) {
			return
		}
	}
}

func formOne(t *testing.T, seed uint64) {
	c := newCrowd(t, seed)
	for _, a := range c.names {
		for _, b := range c.names {
			if a < b && c.random.IntN(4) == 0 {
				c.Partition(a, b)
			}
		}
	}
	heal := time.AfterFunc(time.Duration(c.random.Int64N(int64(6*time.Second))), c.HealAll)
	defer heal.Stop()
	var forming sync.WaitGroup
	for _, name := range c.names {
		forming.Go(func() { c.form(name) })
	}
	forming.Wait()
	for _, name := range c.names {
		r := c.all[name]
		if len(c.founded) == 0 || r.directory.Cluster != c.founded[0] {
			t.Errorf("%s is of %s; founded were %v; %d are expected, %v", name, r.directory.Cluster, c.founded, c.expect, c.joins)
		}
		c.close(r)
	}
	if len(c.founded) != 1 {
		t.Errorf("%d clusters were founded", len(c.founded))
	}
}
