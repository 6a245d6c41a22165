package raft

import (
	"math/rand/v2"
	"testing"
	"time"

	"vera/raft/state"
	"vera/test/bubble"
)

// Silence is carried from term to term, of which each may be short: but only
// what there was a chance to speak in.
func TestSilenceIsCarriedFromTermToTerm(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEar()
		speaks := e.known[1]
		e.lead(false)
		for term := uint64(4); term < 10; term++ { // this peer follows in three of them
			e.lead(term%2 == 0)
			e.leads = term
			e.passed(term)
			e.after(900*time.Millisecond, speaks)
			if len(e.asked) > 0 && term < 6 {
				t.Fatalf("declared gone in term %d", term)
			}
			if len(e.asked) > 0 {
				e.prove(term, nil)
				break
			}
			e.own = 0
			e.after(100 * time.Millisecond) // nobody leads
		}
		if len(e.proposed) != 1 || e.proposed[0].Peer != 3 || e.own != 6 {
			t.Errorf("in term %d proposed %+v", e.own, e.proposed)
		}
	})
}

// TestOnlyTimeInWhichMarksPassIsSilence: not that without a leader, nor that in
// which the leader had no majority, nor that before this peer loaded a state.
func TestOnlyTimeInWhichMarksPassIsSilence(t *testing.T) {
	for name, gap := range map[string]func(e *ear){
		"nobody leads":    func(e *ear) { e.own = 0; e.after(time.Minute); e.leads = 4; e.passed(4) },
		"no majority":     func(e *ear) { e.own = 0; e.after(time.Minute); e.passed(3) },
		"installed state": func(e *ear) { e.after(time.Minute); e.asked = nil; e.proof = proof{}; e.restart(); e.passed(3) },
	} {
		bubble.Test(t, func(t *testing.T) {
			e := newEar()
			e.passed(3)
			e.after(900 * time.Millisecond)
			gap(e)
			e.after(500 * time.Millisecond)
			if len(e.asked) != 0 {
				t.Errorf("%s: that was counted", name)
			}
			e.after(2 * time.Second)
			if len(e.asked) != 1 {
				t.Errorf("%s: nobody is declared gone after it", name)
			}
		})
	}
}

// A new leader that knows of a long silence waits for a pulse in its own term.
func TestNewLeaderLetsAllSpeakFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := newEar()
		e.lead(false)
		e.passed(2)
		e.after(10 * time.Second)
		e.lead(true)
		e.passed(3)
		e.after(400*time.Millisecond, state.Peer{Peer: 2, Incarnation: 4})
		if len(e.asked) != 0 {
			t.Fatal("declared gone before it could speak")
		}
		e.after(200 * time.Millisecond)
		if len(e.asked) != 1 {
			t.Fatalf("%d barriers", len(e.asked))
		}
		e.prove(3, nil)
		if len(e.proposed) != 1 || e.proposed[0].Peer != 3 {
			t.Errorf("proposed %+v", e.proposed)
		}
	})
}

// A dead peer is declared gone though another leads each second. Of each such
// second at least half counts as silence, since the marks of a term are no more
// than a pulse (half a second) apart and its last one is no more than that
// before its end: so 2 s of it take at most 4 terms, after that in which it
// died, and half a second of the next, to a look and a barrier.
func TestDeadPeerIsGoneThoughTheLeaderChangesEverySecond(t *testing.T) {
	const bound = 5700 * time.Millisecond
	const lost = handOnWithin + 1200*time.Millisecond // when who is asked to lead is not elected: until that is seen, and an election
	for _, names := range [][]string{{"a", "b", "c"}, {"a", "b", "c", "d", "e"}} {
		for _, after := range []time.Duration{0, 130, 260, 390, 490, 740} { // ms since a pulse
			bubble.Test(t, func(t *testing.T) {
				c := newCluster(t, names...)
				defer c.close()
				advance(3*time.Second + after*time.Millisecond)
				leader := c.leader(names...)
				dead := c.others(leader)[0]
				id := c.peers[dead].Peer()
				c.crash(dead)
				crashed, terms, most := time.Now(), 0, bound
				living := c.others(dead)
				isGone := func() bool { return c.peers[leader].Machine().Peer(id).Gone }
				for next := crashed.Add(time.Second); !isGone(); advance(10 * time.Millisecond) {
					if time.Since(crashed) > most {
						t.Fatalf("not declared gone within %v and %d terms", most, terms)
					}
					if time.Now().Before(next) {
						continue
					}
					terms++
					if c.hand(living[terms%len(living)]) != nil {
						most += lost
					}
					leader = c.leader(living...)
					next = time.Now().Add(time.Second)
				}
				took := time.Since(crashed)
				t.Logf("%d peers: gone after %v and %d changes of leader", len(names), took, terms)
				if took < 1400*time.Millisecond { // it spoke up to a pulse before
					t.Errorf("declared gone after %v", took)
				}
			})
		}
	}
}

// unrest is a schedule of what makes leaders change and keeps living peers from
// speaking, but none of them alone, under a leader, for Options.Gone.
type unrest struct {
	*cluster
	random *rand.Rand
}

func (u *unrest) some(names []string) string { return names[u.random.IntN(len(names))] }

func (u *unrest) within(most time.Duration) time.Duration {
	return time.Duration(u.random.Int64N(int64(most)))
}

// event does one thing, and undoes it.
func (u *unrest) event() {
	one := u.some(u.names)
	switch u.random.IntN(4) {
	case 0: // the leader changes again and again
		for range 1 + u.random.IntN(4) {
			go u.hand(u.some(u.names))
			advance(u.within(1200 * time.Millisecond))
		}
	case 1: // one is cut off, while the leader changes
		u.Isolate(one)
		until := time.Now().Add(u.within(time.Second))
		for time.Now().Before(until) {
			go u.hand(u.some(u.others(one)))
			advance(u.within(500 * time.Millisecond))
		}
		u.HealAll()
	case 2: // all are, for long; one for a little longer
		for _, name := range u.names {
			u.Isolate(name)
		}
		advance(u.within(5 * time.Second))
		u.HealAll()
		u.Isolate(one)
		advance(u.within(time.Second))
		u.HealAll()
	case 3: // one writes nothing
		u.Hang(one)
		advance(u.within(900 * time.Millisecond))
		u.Mend(one)
	}
}

// hand has a peer lead, if somebody leads who can ask it now.
func (c *cluster) hand(to string) error {
	for _, r := range c.peers {
		if !r.Leading() {
			continue
		}
		servers, _ := r.peers.configuration()
		for _, s := range servers {
			if peerName(s.ID) == to {
				return r.handOn(r.lifetime, servers, s.ID)
			}
		}
	}
	return errNoLeader
}

// settle waits until all have been heard again.
func (u *unrest) settle() {
	since := time.Now()
	until(u.t.(*testing.T), "all are in touch", 10*time.Second, func() bool {
		for _, r := range u.peers {
			if r.LeaderContact().Before(since) {
				return false
			}
		}
		return true
	})
}

// livingGone runs a schedule and says whether a peer was declared gone, though
// all live.
func livingGone(t *testing.T, seed uint64, peers int, change func(*silences)) (gone bool) {
	bubble.Test(t, func(t *testing.T) {
		u := &unrest{newCluster(t, []string{"a", "b", "c", "d", "e"}[:peers]...), rand.New(rand.NewPCG(seed, 6))}
		defer u.close()
		stop := make(chan struct{})
		defer close(stop)
		if change != nil {
			go func() {
				for {
					select {
					case <-time.After(20 * time.Millisecond):
					case <-stop:
						return
					}
					for _, r := range u.peers {
						r.silences.mu.Lock()
						change(r.silences)
						r.silences.mu.Unlock()
					}
				}
			}()
		}
		for range 4 {
			advance(u.within(time.Second))
			u.event()
			u.settle()
		}
		for _, r := range u.peers {
			gone = gone || r.Incarnation() != 1
		}
	})
	return gone
}

// TestLivingPeerIsNeverDeclaredGone by whatever leaders, when it may speak
// again before it was silent for long under one that could hear it. And this
// test finds those who count otherwise.
func TestLivingPeerIsNeverDeclaredGone(t *testing.T) {
	runs := uint64(1000)
	if bubble.Raced || testing.Short() {
		runs = 100
	}
	for seed := range runs {
		if livingGone(t, seed, 3+2*int(seed%5/4), nil) {
			t.Errorf("seed %d: a living peer was declared gone", seed)
		}
	}
	for name, careless := range map[string]func(*silences){
		"counts all time":                 func(s *silences) { s.last = s.clock.now(time.Now()); s.chance, s.since = s.last, 0 },
		"counts what nobody could say in": func(s *silences) { s.last = s.clock.now(time.Now()); s.chance = s.last },
	} {
		found := 0
		for seed := range uint64(25) {
			if livingGone(t, seed, 3, careless) {
				found++
			}
		}
		t.Logf("%s: found in %d of 25", name, found)
		if found == 0 {
			t.Errorf("not found: who %s", name)
		}
	}
}
