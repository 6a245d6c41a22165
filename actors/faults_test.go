package actors

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// seeds says which orders of faults are replayed: so many, or one alone.
var (
	seeds   = flag.Uint64("seeds", 0, "orders of faults that are replayed; 0: 1,000, or 50 with -race")
	oneSeed = flag.Uint64("seed", 0, "the only order of faults that is replayed; 0: all")
)

// TestSafeUnderEveryFault: a client holds an item through connections to three
// peers that are cut off, stand still, restart and lose their leader. No item
// leaves before the last safeMs that any ping was answered with has passed,
// nothing ends that has a connection to a peer in touch, and in the end all
// peers have the same.
func TestSafeUnderEveryFault(t *testing.T) {
	if *oneSeed != 0 {
		underFaults(t, *oneSeed)
		return
	}
	most := *seeds
	if most == 0 {
		most = 1000
		if bubble.Raced {
			most = 50
		}
	}
	for seed := range most {
		if underFaults(t, seed+1); t.Failed() {
			t.Fatalf("seed %d", seed+1)
		}
	}
}

func underFaults(t *testing.T, seed uint64) {
	inCluster(t, func(t *testing.T, c *cluster) {
		f := &faulty{t: t, c: c, random: rand.New(rand.NewPCG(seed, 7)), hello: hello("one"), until: time.Now(), began: time.Now()}
		f.calm = time.Now()
		c.mu.Lock()
		c.told = f.judge
		c.mu.Unlock()
		f.run()
	})
}

// faulty is one order of faults, and the client that lives through it.
type faulty struct {
	t      *testing.T
	c      *cluster
	random *rand.Rand
	hello  vera.Hello
	began  time.Time
	calm   time.Time // when the last fault was mended

	mu      sync.Mutex
	open    []*attached
	until   time.Time // before which the item may not go
	closing bool      // the session closes itself
	events  []string
}

// attached is a connection to a peer.
type attached struct {
	*client
	peer int
}

func (f *faulty) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, fmt.Sprintf("%v %s", time.Since(f.began), fmt.Sprintf(format, args...)))
}

// judge looks at every end of the session, as it is committed. The cluster is
// locked.
func (f *faulty) judge(out state.Output) {
	for _, s := range out.Sessions {
		if s.Session != f.hello.Session || s.What != state.Over {
			continue
		}
		f.note("over %s", s.Reason)
		f.mu.Lock()
		if left := time.Until(f.until); left > time.Millisecond && !f.closing {
			f.t.Errorf("it ended %v before it was promised to be safe: %q", left, f.events)
		}
		for _, a := range f.open {
			if p := f.c.peers[a.peer]; !f.closing && p.in && p.out && !p.busy && time.Since(f.calm) > 3*time.Second {
				f.t.Errorf("it ended with a connection to %s, which is in touch: %q", p.name, f.events)
			}
		}
		f.until, f.closing = time.Now(), false
		f.mu.Unlock()
	}
}

func (f *faulty) run() {
	f.connect()
	for range 60 {
		switch n := f.random.IntN(20); {
		case n < 5:
			f.ping()
		case n < 6:
			f.ask()
		case n < 8:
			f.connect()
		case n < 10:
			f.lose()
		case n < 12:
			f.push()
		case n < 16:
			f.fault()
		}
		f.pass(time.Duration(f.random.IntN(1500)) * time.Millisecond)
		f.sweep()
	}
	f.mend()
	f.pass(time.Minute)
	f.sweep()
	f.agree()
	f.c.with(func() { f.c.told = nil }) // what follows is the end of the test
}

func (f *faulty) pass(d time.Duration) {
	pass(d)
	synctest.Wait()
}

// sweep forgets connections that were closed.
func (f *faulty) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = slices.DeleteFunc(f.open, func(a *attached) bool {
		a.client.mu.Lock()
		defer a.client.mu.Unlock()
		return a.closed != 0
	})
}

func (f *faulty) connect() {
	i := f.random.IntN(len(f.c.systems))
	h := again(f.hello)
	h.Grace = []time.Duration{0, 500 * time.Millisecond, 2 * time.Second, 8 * time.Second, 20 * time.Second}[f.random.IntN(5)]
	client := newClient(f.t)
	if err := client.connect(f.c.systems[i], h); err != nil {
		f.note("no connection to %d: %v", i, err)
		return
	}
	f.note("connected to %d with %v", i, h.Grace)
	f.mu.Lock()
	f.open = append(f.open, &attached{client, i})
	f.mu.Unlock()
}

// any returns one of the connections, nil when there is none.
func (f *faulty) any() *attached {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.open) == 0 {
		return nil
	}
	return f.open[f.random.IntN(len(f.open))]
}

func (f *faulty) ping() {
	a := f.any()
	if a == nil {
		return
	}
	if f.random.IntN(3) > 0 { // most often together with some fault
		defer f.fault()
	}
	arrived, rid := time.Now(), a.send(`"action":"ping"`)
	synctest.Wait()
	life := f.life()
	for _, m := range a.messages() {
		// What is promised is about what there was at the answer's index.
		if m.RID == rid && m.Code == vera.OK && life != 0 && life <= m.Index {
			f.note("ping at %d: safe for %d", a.peer, m.SafeMs)
			f.promised(arrived.Add(time.Duration(m.SafeMs) * time.Millisecond))
		}
	}
}

// ask is GET /session, of any peer.
func (f *faulty) ask() {
	i := f.random.IntN(len(f.c.systems))
	info, err := f.c.systems[i].Session(f.t.Context(), f.hello)
	if life := f.life(); err == nil && life != 0 && life <= info.Index {
		f.note("asked %d: safe for %v", i, info.Safe)
		f.promised(time.Now().Add(info.Safe))
	}
}

func (f *faulty) promised(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if until.After(f.until) {
		f.until = until
	}
}

// life is the session's present one, 0 when there is none.
func (f *faulty) life() uint64 {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if s := f.c.truth.Session(f.hello.Session); s != nil {
		return s.Life()
	}
	return 0
}

func (f *faulty) push() {
	if a := f.any(); a != nil {
		a.send(`"action":"push","path":"/data/a","data":{}`)
	}
}

// lose ends a connection. One that is closed on purpose may be the last one in
// the log's eyes: then the session closes itself.
func (f *faulty) lose() {
	a := f.any()
	if a == nil {
		return
	}
	how := []vera.Ending{vera.EndedClean, vera.EndedLost, vera.EndedLost, vera.EndedByServer}[f.random.IntN(4)]
	f.note("end %d at %d", how, a.peer)
	f.mu.Lock()
	f.open = slices.DeleteFunc(f.open, func(other *attached) bool { return other == a })
	inTouch := slices.ContainsFunc(f.open, func(other *attached) bool { return time.Since(f.calm) > 15*time.Second })
	if how == vera.EndedClean && !inTouch {
		f.closing = true
	}
	f.mu.Unlock()
	a.leave(how)
}

// fault breaks something, or mends all.
func (f *faulty) fault() {
	i := f.random.IntN(len(f.c.peers))
	n := f.random.IntN(12)
	f.note("fault %d of %d", n, i)
	if n >= 10 {
		f.mend()
		return
	}
	f.mu.Lock()
	f.calm = time.Now().Add(time.Hour)
	f.mu.Unlock()
	switch n {
	case 0, 1:
		f.c.cut(i, false, false)
	case 2:
		f.c.cut(i, true, false)
	case 3:
		f.c.cut(i, false, true)
	case 4, 5:
		f.c.with(func() { f.c.halted = !f.c.halted })
	case 6:
		f.c.with(func() { p := f.c.peers[i]; p.hands, p.out = false, false })
	case 7:
		f.crash(i)
	case 8:
		f.c.with(func() { f.c.peers[i].busy = true })
	case 9: // mended, but what it has to say takes its time
		f.c.with(func() { p := f.c.peers[i]; p.in, p.out, p.hands, p.busy = true, true, true, true })
	}
}

func (f *faulty) mend() {
	f.c.heal()
	f.mu.Lock()
	f.calm = time.Now()
	f.mu.Unlock()
}

// crash restarts a peer. It comes up when it is in touch, so all is mended.
func (f *faulty) crash(i int) {
	f.mu.Lock()
	gone := f.open
	f.open = slices.DeleteFunc(slices.Clone(f.open), func(a *attached) bool { return a.peer == i })
	f.mu.Unlock()
	f.c.heal()
	f.c.restart(i)
	for _, a := range gone {
		if a.peer == i {
			a.once.Do(func() {}) // its socket is gone, and nobody says so
		}
	}
	f.mend()
}

// agree compares the peers when all has been well for a while.
func (f *faulty) agree() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	truth := f.c.truth.Hash()
	living := f.c.truth.Session(f.hello.Session)
	for _, p := range f.c.peers {
		if p.machine.Hash() != truth {
			f.t.Errorf("%s has another state", p.name)
		}
	}
	if f.mu.Lock(); len(f.open) == 0 && living != nil {
		f.t.Errorf("it lives a minute after its last connection: %q", f.events)
	}
	for _, a := range f.open {
		if living == nil {
			continue // it never wrote, or ended, and was told so
		}
		if !slices.ContainsFunc(living.Attachments(), func(at state.Attachment) bool { return at.Peer == f.c.peers[a.peer].id }) {
			f.t.Errorf("it has a connection to %d, and the log does not know: %q", a.peer, f.events)
		}
	}
	if living != nil && len(living.Attachments()) > len(f.open) {
		f.t.Errorf("the log knows of more peers than it has connections: %q", f.events)
	}
	f.mu.Unlock()
}
