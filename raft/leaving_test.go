package raft

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// leader returns the name of the peer that leads.
func (p *party) leader() string {
	p.t.Helper()
	name := ""
	p.eventually(5*time.Second, "one leader", func() bool {
		name = ""
		for n, r := range p.peers {
			if r.Leading() {
				name = n
			}
		}
		return name != "" && p.peers[name].LeaderContact().After(time.Now().Add(-time.Second))
	})
	return name
}

// ended waits for a peer's last words.
func (p *party) ended(name string, words ...string) {
	p.t.Helper()
	p.eventually(5*time.Second, name+" ends", func() bool {
		p.ending.Lock()
		defer p.ending.Unlock()
		return p.last[name] != nil
	})
	for _, w := range words {
		if last := p.last[name]; !strings.Contains(last.Error(), w) {
			p.t.Errorf("last words %q\ndo not say %q", last, w)
		}
	}
}

func TestRemovedPeerIsCutOffAndItsNameIsFree(t *testing.T) {
	for _, who := range []string{"follower", "leader", "dead", "itself"} {
		t.Run(who, func(t *testing.T) {
			play(t, func(t *testing.T, p *party) {
				p.three()
				gone, asked := "c", "b"
				switch who {
				case "leader":
					gone = "a"
				case "dead":
					p.close("c")
				case "itself":
					asked = "c"
				}
				if err := p.peers[asked].Remove(t.Context(), gone); err != nil {
					t.Fatal(err)
				}
				left := map[string]string{"c": "a leader, b follower", "a": "b leader, c follower"}[gone]
				stay := map[string][]string{"c": {"a", "b"}, "a": {"b", "c"}}[gone]
				key := ""
				if r := p.peers[gone]; r != nil {
					key = r.directory.Key
					advance(time.Millisecond)
					for _, name := range stay {
						if p.peers[name].trusted(key) {
							t.Errorf("%s still trusts it", name)
						}
						if c, err := r.network.dial(t.Context(), target{address: name + ":1"}, streamRaft); err == nil {
							c.Close()
							t.Errorf("%s still speaks with it", name)
						}
					}
					p.ended(gone, "was removed from the cluster", "empty --data-dir")
					p.close(gone)
				}
				p.eventually(time.Second, "two are left", func() bool {
					l := list(p.peers[stay[0]])
					return (l == left || gone == "a" && l == "c leader, b follower") && p.agree(l, stay...)
				})
				err := p.start(p.options(gone, stay...))
				if who != "dead" && (err == nil || !strings.Contains(err.Error(), "was removed from its cluster")) {
					t.Errorf("started again: %v", err)
				}
				if who == "dead" && err == nil {
					p.close(gone)
				}
				p.Wipe(gone)
				p.open(p.options(gone, stay...))
				pushed(t, p.peers[gone], "/data/x", 1)
			})
		})
	}
}

func TestDeadPeerThatWasRemovedIsToldWhenItComesBack(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		p.close("c")
		if err := p.peers["b"].Remove(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := Open(ctx, p.options("c"))
			done <- err
		}()
		p.ended("c", "was removed from the cluster")
		cancel()
		if err := <-done; err == nil {
			t.Error("it came up")
		}
	})
}

func TestRemovalThatWouldLeaveNoMajorityIsRefused(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.open(p.options("a"))
		if err := p.peers["a"].Remove(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "only peer with a vote") {
			t.Errorf("the only peer was removed: %v", err)
		}
		p.open(p.options("b", "a"))
		p.open(p.options("c", "a"))
		p.eventually(5*time.Second, "three votes", func() bool { return p.agree("a leader, b follower, c follower", "a") })
		p.close("c")
		if err := p.peers["a"].Remove(t.Context(), "b"); err == nil || !strings.Contains(err.Error(), "c can't be reached") {
			t.Errorf("a majority was given away: %v", err)
		}
		pushed(t, p.peers["b"], "/data/x", 1)
	})
}

// A removal is asked for while leadership moves all the time: it comes about
// once, and no push is lost.
func TestRemovalRacesALeaderChange(t *testing.T) {
	for seed := range 20 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			play(t, func(t *testing.T, p *party) {
				p.three()
				p.open(p.options("d", "a"))
				p.eventually(5*time.Second, "four votes", func() bool { return p.agree("a leader, b follower, c follower, d follower", "a") })
				done := make(chan error, 1)
				go func() { done <- p.peers["b"].Remove(t.Context(), "d") }()
				advance(time.Duration(seed) * 100 * time.Microsecond)
				p.Isolate("a")
				advance(3 * time.Second)
				p.HealAll()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				p.ended("d", "was removed")
				p.close("d")
				p.eventually(15*time.Second, "the three are left", func() bool {
					l := list(p.peers["b"])
					return strings.Count(l, ",") == 2 && strings.Count(l, "leader") == 1 && p.agree(l, "a", "c")
				})
				pushed(t, p.peers["a"], "/data/x", 1)
			})
		})
	}
}

// A peer that is added, and removed before it has the log, has nothing to wait for.
func TestPeerThatIsRemovedWhileItJoinsEnds(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		p.Partition("a", "d") // the leader can't send the log
		ended := make(chan error, 1)
		go func() { ended <- p.start(p.options("d", "b")) }()
		p.eventually(5*time.Second, "d is listed", func() bool { return p.agree("a leader, b follower, c follower, d observer", "a", "b", "c") })
		if err := p.peers["c"].Remove(t.Context(), "d"); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "was removed from the cluster") {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("it waits for its log")
		}
		p.HealAll()
		if err := p.start(p.options("d", "b")); err == nil || !strings.Contains(err.Error(), "was removed from its cluster") {
			t.Errorf("it came back: %v", err)
		}
		p.Wipe("d") // another machine
		p.open(p.options("d", "b"))
	})
}

// A peer that was removed and does not know it yet can't let anybody join; who
// wants to goes on asking the others.
func TestWhoJoinsIsNotRefusedByARemovedPeer(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		p.peers["b"].leaving.Do(func() {}) // it never learns
		if err := p.peers["a"].Remove(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		p.open(p.options("d", "b", "a"))
		p.eventually(5*time.Second, "d is a peer", func() bool { return p.agree("a leader, c follower, d follower", "a", "c", "d") })
	})
}

func TestLeadershipIsHandedOn(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		for _, to := range []string{"b", "c", "c", "a"} {
			began := time.Now()
			if err := p.peers["b"].Transfer(t.Context(), to); err != nil {
				t.Fatal(err)
			}
			if !p.peers[to].Leading() {
				t.Errorf("%s does not lead", to)
			}
			p.eventually(time.Second, "all say so", func() bool {
				l := list(p.peers["a"])
				return strings.HasPrefix(l, to+" leader") && p.agree(l, "b", "c")
			})
			pushed(t, p.peers["c"], "/data/x", 1)
			if took := time.Since(began); took > 200*time.Millisecond {
				t.Errorf("leadership was handed to %s in %v", to, took)
			}
		}
		if err := p.peers["a"].Transfer(t.Context(), ""); err != nil || p.peers["a"].Leading() {
			t.Errorf("leadership was not handed on to any: %v", err)
		}
		leader := p.leader()
		if err := p.peers[leader].Yield(t.Context()); err != nil || p.peers[leader].Leading() {
			t.Errorf("leadership was not yielded: %v", err)
		}
		p.close(leader)
		if err := p.peers[p.leader()].Yield(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
