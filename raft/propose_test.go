package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// ground is a proposer on a log of the test's own, which can lose and double
// what it is given, as hashicorp/raft may when leadership changes.
type ground struct {
	*proposer
	fsm  *fsm
	stop chan struct{}

	mu      sync.Mutex
	index   uint64
	term    uint64
	log     [][]byte // given, and not applied
	given   [][]byte // all that was ever given
	hold    bool     // nothing is applied
	fate    func() (copies int)
	arrived chan struct{}
}

// newGround makes one, to be called in a bubble of fake time. It does not lead
// yet.
func newGround(t *testing.T) *ground {
	g := &ground{stop: make(chan struct{}), term: 1, fate: func() int { return 1 }, arrived: make(chan struct{}, 1)}
	started := uint64(0)
	begin := func() (uint64, error) { started++; return started, nil }
	g.proposer = newProposer(7, 5*time.Second, begin, g.take)
	g.fsm = newFSM(g.proposer)
	g.fsm.graces.missed = func(*doubt) bool { return true }
	go g.proposer.run(g.stop)
	go g.apply()
	t.Cleanup(func() {
		close(g.stop)
		g.proposer.close()
	})
	return g
}

func (g *ground) take(entries [][]byte) error {
	g.mu.Lock()
	for _, entry := range entries {
		g.given = append(g.given, entry)
		for range g.fate() {
			g.log = append(g.log, entry)
		}
	}
	g.mu.Unlock()
	g.kick()
	return nil
}

func (g *ground) kick() {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
}

// apply commits what was given, in batches.
func (g *ground) apply() {
	for {
		select {
		case <-g.arrived:
		case <-g.stop:
			return
		}
		g.mu.Lock()
		var batch []*hraft.Log
		for !g.hold && len(g.log) > 0 {
			g.index++
			batch = append(batch, &hraft.Log{Index: g.index, Term: g.term, Type: hraft.LogCommand, Data: g.log[0]})
			g.log = g.log[1:]
		}
		g.mu.Unlock()
		if len(batch) > 0 {
			g.fsm.ApplyBatch(batch)
		}
	}
}

func (g *ground) holding(hold bool) {
	g.mu.Lock()
	g.hold = hold
	g.mu.Unlock()
	g.kick()
}

// depose makes another term, without what was given and not applied, or with
// a part of it.
func (g *ground) depose(keep int) {
	g.route(false)
	g.mu.Lock()
	g.log = g.log[:min(keep, len(g.log))]
	g.term++
	g.mu.Unlock()
	g.route(true)
}

func (g *ground) open(t *testing.T, name string) (vera.SessionID, uint64) {
	t.Helper()
	id := vera.SessionOf([]byte(name), "")
	lives := make(chan uint64, 1)
	g.propose([]state.Command{{Kind: state.Open, Session: id, Grace: time.Second}}, func(r []state.Reply, err error) {
		if err != nil {
			t.Errorf("open: %v", err)
		}
		lives <- r[0].Life
	})
	return id, <-lives
}

func TestHandedOverAgainIsAppliedOnceAndInOrder(t *testing.T) {
	for seed := range uint64(30) {
		bubble.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			g := newGround(t)
			g.timeout = time.Hour
			g.route(true)
			id, life := g.open(t, "one")
			dice := rand.New(rand.NewPCG(seed, 2))
			g.mu.Lock()
			g.fate = func() int { return max(0, dice.IntN(20)-17) } // most are lost
			if seed%2 == 0 {
				g.fate = func() int { return 1 + dice.IntN(2) } // many come twice
			}
			g.mu.Unlock()
			var answered atomic.Int64
			for n := range 300 {
				g.propose([]state.Command{push(id, life, "/data/x", n), {Kind: state.Watch, Session: id, Life: life, Path: "/data/x", SessionWatches: 9}}, func(r []state.Reply, err error) {
					if err != nil || r[0].Code != vera.OK || r[1].Code != vera.OK || int64(n) != answered.Load() {
						t.Errorf("push %d after %d answers: %+v %v", n, answered.Load(), r, err)
					}
					answered.Add(1)
				})
				if n%17 == 0 {
					g.holding(random.IntN(2) == 0)
				}
				if n%13 == 0 {
					g.depose(random.IntN(5))
				}
			}
			g.holding(false)
			g.mu.Lock()
			g.fate = func() int { return 1 }
			g.mu.Unlock()
			<-time.After(time.Minute)
			if got := answered.Load(); got != 300 {
				t.Fatalf("seed %d: %d of 300 answered", seed, got)
			}
			l, _ := g.fsm.machine.List("/data/x")
			n := 0
			for item := range l.All() {
				if want := fmt.Sprintf(`{"n":%d}`, n); string(item.Data) != want {
					t.Fatalf("seed %d: item %d says %s", seed, n, item.Data)
				}
				n++
			}
			if n != 300 || len(g.given) <= 602 { // up, open, and two entries a proposal
				t.Errorf("seed %d: %d items, %d entries handed over", seed, n, len(g.given))
			}
		})
	}
}

func TestLostHandOverIsRepeatedInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		answered := 0
		send := func() {
			g.propose([]state.Command{push(id, life, "/data/x", 1)}, func(r []state.Reply, err error) {
				if err != nil || r[0].Code != vera.OK {
					t.Errorf("%+v %v", r, err)
				}
				answered++
			})
			synctest.Wait()
		}
		g.holding(true)
		send()
		g.depose(0)
		g.holding(false)
		synctest.Wait()
		if answered != 1 {
			t.Error("not repeated at once by a new leader")
		}
		g.mu.Lock()
		g.fate = func() int { return 0 }
		g.mu.Unlock()
		send() // refused by who leads and goes on leading
		g.mu.Lock()
		g.fate = func() int { return 1 }
		g.mu.Unlock()
		advance(2*repeatAfter + time.Millisecond)
		synctest.Wait()
		if answered != 2 {
			t.Error("not repeated after a silence")
		}
	})
}

// applied returns what an error says of the effect.
func applied(t *testing.T, err error) vera.Applied {
	t.Helper()
	refusal, ok := errors.AsType[*vera.Error](err)
	if !ok || refusal.Code != vera.Unavailable {
		t.Fatalf("%v is not Unavailable", err)
	}
	return refusal.Applied
}

func TestWithoutALeaderTheTruthIsToldInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		type answer struct {
			n     int
			after time.Duration
			err   error
		}
		answers := make(chan answer, 10)
		began := time.Now()
		send := func(n int) {
			g.propose([]state.Command{push(id, life, "/data/x", n)}, func(_ []state.Reply, err error) {
				answers <- answer{n, time.Since(began), err}
			})
		}
		g.holding(true)
		send(0) // handed over: nobody can know
		synctest.Wait()
		g.route(false)
		send(1) // never handed over
		g.barrier(func(_, _ uint64, err error) { answers <- answer{2, time.Since(began), err} })
		for range 3 {
			a := <-answers
			want := [...]vera.Applied{vera.AppliedUnknown, vera.AppliedNo, vera.AppliedNo}[a.n]
			if got := applied(t, a.err); got != want || a.after != 5*time.Second {
				t.Errorf("%d: applied %v after %v: %v", a.n, got, a.after, a.err)
			}
		}
		// The late outcome is accounted for: what comes next is numbered behind it.
		g.holding(false)
		g.route(true)
		began = time.Now()
		send(3)
		if a := <-answers; a.err != nil || a.after != 0 {
			t.Errorf("with a leader again: %+v", a)
		}
		l, _ := g.fsm.machine.List("/data/x")
		if l.Len() != 2 || string(l.Head().Data) != `{"n":0}` {
			t.Errorf("%d items; want the one whose outcome was not known and the last", l.Len())
		}
		if g.late != 1 || g.inFlight() != 0 {
			t.Errorf("%d late, %d in flight", g.late, g.inFlight())
		}
	})
}

func TestStoppedPeerAnswersEverything(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		g.holding(true)
		errs := make(chan error, 10)
		g.propose([]state.Command{push(id, life, "/data/x", 0)}, func(_ []state.Reply, err error) { errs <- err })
		synctest.Wait()
		g.route(false)
		g.propose([]state.Command{push(id, life, "/data/x", 1)}, func(_ []state.Reply, err error) { errs <- err })
		g.proposer.close()
		g.propose([]state.Command{push(id, life, "/data/x", 2)}, func(_ []state.Reply, err error) { errs <- err })
		g.barrier(func(_, _ uint64, err error) { errs <- err })
		for i, want := range []vera.Applied{vera.AppliedUnknown, vera.AppliedNo, vera.AppliedNo, vera.AppliedNo} {
			if got := applied(t, <-errs); got != want {
				t.Errorf("answer %d: applied %v", i, got)
			}
		}
	})
}
