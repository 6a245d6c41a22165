package raft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera/test/bubble"
)

// tardy is a network on which everything takes its time.
type tardy struct {
	network
	mu     sync.Mutex
	random *rand.Rand
}

// delay waits for a little while, and sometimes for nearly too long.
func (l *tardy) delay() {
	l.mu.Lock()
	most := 50 * time.Millisecond
	if l.random.IntN(5) == 0 {
		most = helloWithin
	}
	d := time.Duration(l.random.Int64N(int64(most)))
	l.mu.Unlock()
	<-time.After(d)
}

func (l *tardy) call(ctx context.Context, to target, what string, body []byte) ([]byte, error) {
	l.delay()
	answer, err := l.network.call(ctx, to, what, body)
	l.delay()
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
	o.complete()
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
	r.network = &tardy{network: r.network, random: rand.New(rand.NewPCG(c.random.Uint64(), 2))}
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
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { bubble.Test(t, func(t *testing.T) { formOne(t, seed) }) }) {
			return
		}
	}
}

// tear partitions peers from each other and heals them, for a few seconds.
func (c *crowd) tear(stop <-chan struct{}, dice *rand.Rand) {
	for range dice.IntN(12) {
		a, b := c.names[dice.IntN(len(c.names))], c.names[dice.IntN(len(c.names))]
		if dice.IntN(3) == 0 {
			c.HealAll()
		} else if a != b {
			c.Partition(a, b)
		}
		select {
		case <-time.After(time.Duration(dice.Int64N(int64(time.Second)))):
		case <-stop:
			return
		}
	}
	c.HealAll()
}

func formOne(t *testing.T, seed uint64) {
	c := newCrowd(t, seed)
	stop := make(chan struct{})
	defer close(stop)
	go c.tear(stop, rand.New(rand.NewPCG(seed, 4)))
	var forming sync.WaitGroup
	for _, name := range c.names {
		forming.Go(func() { c.form(name) })
	}
	forming.Wait()
	for _, name := range c.names {
		r := c.all[name]
		if len(c.founded) == 0 || r.directory.now().Cluster != c.founded[0] {
			t.Errorf("%s is of %s; founded were %v; %d are expected, %v", name, r.directory.now().Cluster, c.founded, c.expect, c.joins)
		}
		c.close(r)
	}
	if len(c.founded) != 1 {
		t.Errorf("%d clusters were founded", len(c.founded))
	}
}

// A founder has a promise, and is silent: nobody knows whether it has formed
// its cluster. So who promised waits for it, however many others there are.
func TestPromiseIsKeptWhileItsFounderIsSilent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := &crowd{Memory: NewMemory(), t: t, random: rand.New(rand.NewPCG(1, 1)), expect: 2, all: map[string]*Raft{}}
		c.joins = map[string][]string{"a": {"b:1", "c:1"}, "b": {"a:1", "c:1"}, "c": {"a:1", "b:1"}}
		a, b, lonely := c.open("a"), c.open("b"), c.open("c")
		founding := a.newPromise()
		if err := a.swear(a.hello(), founding); err != nil {
			t.Fatal(err)
		}
		for range 2 { // asked again, it says the same
			given, err := ask[promised](t.Context(), a.network, target{address: "b:1"}, callPromise, founding)
			if err != nil || !given.Given {
				t.Fatalf("%+v, %v", given, err)
			}
		}
		c.close(a)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var waiting sync.WaitGroup
		for _, r := range []*Raft{b, lonely} {
			waiting.Go(func() {
				if c.gather(ctx, r) {
					t.Errorf("%s did not wait", r.Name())
				}
			})
		}
		waiting.Wait()
		if p := b.directory.now().Promise; p == nil || *p != *founding {
			t.Errorf("b is promised to %+v", p)
		}
		a = c.open("a")
		for _, r := range []*Raft{a, b, lonely} {
			waiting.Go(func() {
				if !c.gather(t.Context(), r) || r.Cluster() != founding.Cluster {
					t.Errorf("%s is of %s", r.Name(), r.Cluster())
				}
			})
		}
		waiting.Wait()
		for _, r := range []*Raft{a, b, lonely} {
			c.close(r)
		}
	})
}

func TestDecisionsOfNewPeers(t *testing.T) {
	to := func(id, number string) *promise {
		return &promise{Cluster: ClusterID("of " + id), ID: id, Number: number}
	}
	peer := func(id string, p *promise) hello {
		return hello{ID: id, Expect: 3, Cluster: ClusterID("of " + id), Promise: p}
	}
	formed := func(id, cluster string) hello {
		return hello{ID: id, Formed: true, Cluster: ClusterID(cluster)}
	}
	for what, c := range map[string]struct {
		own    hello
		others []hello
		want   step
	}{
		"too few":                            {peer("a", nil), []hello{peer("b", nil)}, stepWait},
		"the lowest founds":                  {peer("a", nil), []hello{peer("b", nil), peer("c", nil)}, stepFound},
		"another does not":                   {peer("b", nil), []hello{peer("a", nil), peer("c", nil)}, stepWait},
		"who expects more does not count":    {peer("a", nil), []hello{peer("b", nil), {ID: "c", Expect: 5}}, stepWait},
		"a founder is left to it":            {peer("a", nil), []hello{peer("b", to("b", "1")), peer("c", nil)}, stepWait},
		"a formed one is joined":             {peer("a", nil), []hello{peer("b", to("b", "1")), formed("c", "x")}, stepJoin},
		"two clusters":                       {peer("a", nil), []hello{formed("b", "x"), formed("c", "y")}, stepWait},
		"a founder collects":                 {peer("b", to("b", "1")), []hello{peer("a", nil), peer("c", to("c", "1"))}, stepCollect},
		"a founder gives up for a lower one": {peer("b", to("b", "1")), []hello{peer("a", to("a", "1"))}, stepRelease},
		"a founder gives up for a cluster":   {peer("b", to("b", "1")), []hello{formed("c", "x")}, stepRelease},
		"promised, it waits":                 {peer("c", to("a", "1")), []hello{peer("a", to("a", "1")), formed("b", "x")}, stepWait},
		"promised, it waits for the silent":  {peer("c", to("a", "1")), []hello{peer("b", nil), formed("d", "x")}, stepWait},
		"promised, it joins":                 {peer("c", to("a", "1")), []hello{formed("b", "of a")}, stepJoin},
		"released":                           {peer("c", to("a", "1")), []hello{peer("a", nil)}, stepRelease},
		"released by another founding":       {peer("c", to("a", "1")), []hello{peer("a", to("a", "2"))}, stepRelease},
		"released by a promise":              {peer("c", to("a", "1")), []hello{peer("a", to("b", "1"))}, stepRelease},
		"released by another cluster":        {peer("c", to("a", "1")), []hello{formed("a", "x")}, stepRelease},
	} {
		if got, _, why := decide(c.own, c.others); got != c.want {
			t.Errorf("%s: step %d, want %d (%s)", what, got, c.want, why)
		}
	}
}
