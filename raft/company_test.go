package raft

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// until waits for something to become true, and returns how long that took.
func until(t *testing.T, what string, within time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		advance(10 * time.Millisecond)
	}
	return time.Since(began)
}

// without waits until the others agree on a leader among them.
func (c *cluster) without(away string) string {
	c.t.Helper()
	for range 600 {
		advance(10 * time.Millisecond)
		if leader := c.leader(c.others(away)...); leader != away {
			return leader
		}
	}
	c.t.Fatal("nobody else leads within 6 s")
	return ""
}

func TestPeerThatIsCutOffKnowsIt(t *testing.T) {
	for _, leads := range []bool{true, false} {
		bubble.Test(t, func(t *testing.T) {
			c := newCluster(t, "a", "b", "c")
			defer c.close()
			// Not while a mark is on its way, as at every half second. Whom it has not
			// reached gets no vote of whom it has, and so the election may take up to
			// 1.2 s, of which who lives has to tell; see TestFailoverSuspendsNobody. With
			// equal logs the second to miss the leader, after 0.6 s at most, is elected.
			advance(3*time.Second + 100*time.Millisecond)
			away := c.leader(c.names...)
			if !leads {
				away = c.others(away)[0]
			}
			r := c.peers[away]
			for _, name := range c.names {
				s := c.peers[name].Status()
				if silent := time.Since(c.peers[name].LeaderContact()); s.Suspended || s.Diverged != "" || silent > 600*time.Millisecond {
					t.Errorf("at rest %s is %+v, last in touch %v ago", name, s, silent)
				}
			}
			c.Isolate(away)
			cut := time.Now()
			took := until(t, "it is suspended", 3*time.Second, func() bool {
				if r.LeaderContact().After(cut) {
					t.Fatal("in touch though it is cut off")
				}
				for _, name := range c.others(away) {
					if c.peers[name].Status().Suspended {
						t.Fatalf("leads %v: %s is suspended %v after another was cut off", leads, name, time.Since(cut))
					}
				}
				return r.Status().Suspended
			})
			if took < 900*time.Millisecond {
				t.Errorf("suspended after %v", took)
			}
			advance(5 * time.Second)
			c.HealAll()
			if took := until(t, "it is back", 3*time.Second, func() bool { return !r.Status().Suspended }); took > 2*time.Second {
				t.Errorf("leads %v: back after %v", leads, took)
			}
		})
	}
}

// TestFailoverSuspendsNobody: whoever lives has another leader before its
// clients need to know, unless the votes were split, or the first to miss the
// leader has more of the log than the second: then that takes longer than what a
// pulse leaves of Options.Suspect.
func TestFailoverSuspendsNobody(t *testing.T) {
	const runs, enough = 10, 900 * time.Millisecond
	split := 0
	for run := range runs {
		bubble.Test(t, func(t *testing.T) {
			c := newCluster(t, "a", "b", "c")
			defer c.close()
			advance(3*time.Second + time.Duration(run)*50*time.Millisecond) // at any point of a pulse
			old := c.leader(c.names...)
			c.crash(old)
			crashed, led := time.Now(), time.Duration(0)
			for range 300 {
				advance(10 * time.Millisecond)
				known, suspended := true, false
				for _, r := range c.peers {
					s := r.Status()
					known, suspended = known && s.Leader != "" && s.Leader != old, suspended || s.Suspended
				}
				if led == 0 && known {
					led = time.Since(crashed)
				}
				if suspended && led != 0 && led < enough {
					t.Fatalf("somebody is suspended, though another led after %v", led)
				}
			}
			if led >= enough {
				split++
			}
		})
	}
	if split > runs/2 {
		t.Errorf("%d of %d failovers took longer than %v", split, runs, enough)
	}
}

// A peer that is cut off for longer than Options.Gone is declared gone. Its
// sessions are waited for; when it is back it has another incarnation, and what
// was handed to it meanwhile is applied once.
func TestPeerThatWasCutOffComesUpAnew(t *testing.T) {
	for _, leads := range []bool{true, false} {
		bubble.Test(t, func(t *testing.T) {
			c := newCluster(t, "a", "b", "c")
			defer c.close()
			away := c.leader(c.names...)
			if !leads {
				away = c.others(away)[0]
			}
			r := c.peers[away]
			id, life := session(t, r, "one")
			c.Isolate(away)
			there := c.peers[c.without(away)]
			took := until(t, "it is declared gone", 5*time.Second, func() bool { return there.Machine().Peer(r.Peer()).Gone })
			if took < 1400*time.Millisecond { // a pulse, and how long the test looked for a leader
				t.Errorf("declared gone after %v", took)
			}
			if s := there.Machine().Session(id); s == nil || len(s.Attachments()) != 0 || s.Doubt() != 10*time.Second {
				t.Errorf("its session: %+v", s)
			}
			told := make(chan []state.Reply, 1)
			r.Propose([]state.Command{push(id, life, "/data/x", 1), {Kind: state.Attach, Session: id, Life: life, Grace: time.Second}}, func(replies []state.Reply, err error) {
				if err != nil {
					t.Errorf("leads %v: %v", leads, err)
				}
				told <- replies
			})
			advance(time.Second)
			was := r.Incarnation()
			c.HealAll()
			if replies := <-told; replies[0].Code != vera.OK || replies[1].Code != vera.OK {
				t.Errorf("%+v", replies)
			}
			if r.Incarnation() <= was {
				t.Errorf("incarnation %d, before %d", r.Incarnation(), was)
			}
			advance(20 * time.Second)
			l, _ := there.Machine().List("/data/x")
			if s := there.Machine().Session(id); l.Len() != 1 || s == nil || s.Attachments()[0].Incarnation != r.Incarnation() {
				t.Errorf("%d items, session %+v", l.Len(), s)
			}
		})
	}
}

// The sessions of a dead peer are waited for from the moment at which it is
// declared gone, and no longer.
func TestSessionsOfADeadPeerEndInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.close()
		leader := c.leader(c.names...)
		dead := c.others(leader)[0]
		id, life := session(t, c.peers[dead], "one")
		propose(t, c.peers[dead], push(id, life, "/data/x", 1))
		r := c.peers[leader]
		c.crash(dead)
		took := until(t, "its item is gone", 20*time.Second, func() bool { l, _ := r.Machine().List("/data/x"); return l.Len() == 0 })
		if took < 11400*time.Millisecond || took > 12800*time.Millisecond {
			t.Errorf("an item of a dead peer left after %v", took)
		}
	})
}

// Fast elections one after the other declare nobody gone who lives.
func TestElectionsDeclareNobodyGone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.close()
		for range 10 {
			leader := c.leader(c.names...)
			c.Isolate(leader)
			c.without(leader)
			c.HealAll()
			advance(500 * time.Millisecond)
		}
		for _, r := range c.peers {
			if r.Incarnation() != 1 {
				t.Errorf("%s has incarnation %d", r.Name(), r.Incarnation())
			}
		}
	})
}

// TestDivergenceIsInTheStatusOfWhoStandsAlone: the other two agree.
func TestDivergenceIsInTheStatusOfWhoStandsAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		registries := map[string]*prometheus.Registry{}
		for _, name := range []string{"a", "b", "c"} {
			registries[name] = prometheus.NewRegistry()
		}
		c := newClusterWith(t, func(o *Options) { o.Metrics = registries[o.Name] }, "a", "b", "c")
		defer c.close()
		advance(2 * time.Second)
		sick := c.peers["b"]
		at := sick.fellows.hashes.reached()
		sick.fellows.hashes.restart(point{at.index, at.hash + 1})
		advance(2 * time.Second)
		for name, want := range map[string]string{"a": "", "b": "its state differs from that of a, c", "c": ""} {
			if got := c.peers[name].Status().Diverged; got != want {
				t.Errorf("%s says %q", name, got)
			}
		}
		if n := gather(t, registries["b"])["vera_raft_divergence_total"]; n < 2 {
			t.Errorf("b counted %v", n)
		}
	})
}
