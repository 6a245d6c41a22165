package test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"vera"
	"vera/client"
)

func TestPingTellsTheSmallerOfGraceAndFailoverGrace(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--failover-grace", "3s")
	for grace, want := range map[time.Duration]time.Duration{
		client.NoGrace:         0,
		500 * time.Millisecond: 500 * time.Millisecond,
		10 * time.Second:       3 * time.Second,
		0:                      2 * time.Second, // the server's own
	} {
		c := call(t, p, client.Options{Grace: grace})
		c.push(here(t), number(0))
		// The peer leads, so it was in touch with a leader just now; what it
		// takes to say so may be gone from the failover grace.
		if safe := c.ping(); safe.For > want || safe.For < want-slack {
			t.Errorf("with a grace of %v: safe for %v, want %v", grace, safe.For, want)
		}
		if safe := time.Duration(c.session().SafeMs) * time.Millisecond; safe > want || safe < want-slack {
			t.Errorf("with a grace of %v the session says %v", grace, safe)
		}
	}
}

// pledge is what one item's owner was told: it stays until then.
type pledge struct {
	mu    sync.Mutex
	until map[uint64]time.Time
}

func (l *pledge) give(version uint64, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.until[version]) {
		l.until[version] = until
	}
}

// broken returns by how much an item went early, if it did.
func (l *pledge) broken(version uint64, gone time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until[version].Sub(gone)
}

// wander lives a life of random pings and deaths: of its connections, never of
// the session on purpose.
func (l *pledge) wander(t *testing.T, p *peer, path string, random *rand.Rand, end time.Time) {
	o := client.Options{
		Grace:     time.Duration(100+random.IntN(1500)) * time.Millisecond,
		Heartbeat: time.Duration(250+random.IntN(500)) * time.Millisecond,
	}
	for time.Now().Before(end) {
		c, err := tryCall(t, p, o)
		if err != nil { // the peer is down for the moment
			<-time.After(20 * time.Millisecond)
			continue
		}
		o.Cookie = c.Cookie()
		l.live(t, c, path, random)
		switch random.IntN(3) {
		case 0:
			_ = c.tcp.SetLinger(0) // on a connection that is over already there is nothing to reset
			c.tcp.Close()
		case 1:
			_ = c.Leave() // with 1001; whether it was heard makes no difference here
		default:
			c.Abort()
		}
		<-time.After(time.Duration(random.IntN(1000)) * time.Millisecond) // away: sometimes too long
	}
}

// live pushes an item unless one is held, and pings now and then.
func (l *pledge) live(t *testing.T, c *caller, path string, random *rand.Rand) {
	ctx := within(t, patience)
	s, err := c.Session(ctx)
	if err != nil {
		return
	}
	var version uint64
	if len(s.Items) > 0 {
		version = s.Items[0].Version
	} else if pushed, err := c.Push(ctx, path, number(0), client.Limit(0)); err == nil {
		version = pushed.Version
	} else {
		return
	}
	for range random.IntN(6) {
		safe, err := c.Ping(ctx)
		if err != nil {
			return
		}
		l.give(version, safe.Until())
		select {
		case <-c.Done():
			return
		case <-time.After(time.Duration(random.IntN(200)) * time.Millisecond): // between pings
		}
	}
}

// witness sees every removal, on whatever connection it gets, and judges it.
func (l *pledge) witness(t *testing.T, p *peer, path string, end time.Time) (removals int) {
	known := map[uint64]bool{}
	gone := func(version uint64, at time.Time) {
		delete(known, version)
		removals++
		if early := l.broken(version, at); early > 0 {
			t.Errorf("item %d went %v before it was safe to go", version, early)
		}
	}
	for time.Now().Before(end) {
		c, err := tryCall(t, p, client.Options{Queue: 10_000})
		if err != nil {
			<-time.After(5 * time.Millisecond) // down
			continue
		}
		w, began, err := c.Watch(within(t, patience), path)
		at := time.Now()
		if err != nil {
			c.Abort()
			continue
		}
		n := client.Notification{Items: began.Items}
		for err == nil && at.Before(end) {
			here := map[uint64]bool{}
			for _, item := range n.Items {
				here[item.Version], known[item.Version] = true, true
			}
			for version := range known {
				if !here[version] {
					gone(version, at)
				}
			}
			n, err = w.Next(within(t, time.Until(end)))
			at = time.Now()
		}
		c.Abort()
	}
	return removals
}

// A violation would be told late rather than early by the machine's load, so
// these may run beside others.
func TestSafeIsNeverBroken(t *testing.T) {
	t.Parallel()
	for _, restarts := range []int{0, long(3)} {
		t.Run(fmt.Sprintf("restarts=%d", restarts), func(t *testing.T) {
			t.Parallel()
			p, path := startPeer(t, "--failover-grace", "1500ms"), here(t)
			l := &pledge{until: map[uint64]time.Time{}}
			start := time.Now()
			end := start.Add(time.Duration(long(12)) * time.Second)
			var all sync.WaitGroup
			for n := range 24 {
				random := rand.New(rand.NewPCG(uint64(n), uint64(restarts)))
				all.Go(func() { l.wander(t, p, path, random, end) })
			}
			var removals int
			all.Go(func() { removals = l.witness(t, p, path, end) })
			for n := range restarts {
				<-time.After(time.Until(start.Add(time.Duration(2+3*n) * time.Second))) // in the middle of it all
				p.kill(t)
				p.restart(t)
			}
			all.Wait()
			if removals < 5 || len(l.until) < 20 {
				t.Errorf("only %d removals and %d items were seen: this showed little", removals, len(l.until))
			}
		})
	}
}

func TestSafeHoldsWhenTheConnectionWithTheLargestGraceLeaves(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	long := call(t, p, client.Options{Grace: 2 * time.Second})
	item := long.push(path, number(0))
	short := call(t, p, client.Options{Cookie: long.Cookie(), Grace: 100 * time.Millisecond})
	safe := short.ping()
	if err := long.Close(); err != nil {
		t.Fatal(err)
	}
	short.reset()
	if gone, _ := w.removal(item.Version); gone.Before(safe.Until()) {
		t.Errorf("gone %v before it was safe to go", safe.Until().Sub(gone))
	}
}

func TestSafeEndsWithTheSessionItself(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	c := call(t, p, client.Options{Grace: 10 * time.Second})
	item := c.push(path, number(0))
	w.arrival(item.Version)
	if safe := c.ping(); safe.For < 9*time.Second {
		t.Fatalf("safe for %v", safe.For)
	}
	start := time.Now()
	if err := c.CloseWith(vera.CloseDone, ""); err != nil {
		t.Fatal(err)
	}
	if gone, _ := w.removal(item.Version); gone.Sub(start) > patience/3 {
		t.Errorf("a session that closed on purpose kept its item for %v", gone.Sub(start))
	}
}
