package raft

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// interrupt starts a peer that crashes right after so many writes, the last of
// which is durable. If it crashes within a few seconds of being up, or before,
// it is started again, with so many writes for the next time, and so on; 0: it
// is not to crash any more. It returns how often it crashed.
func (p *party) interrupt(o Options, writes func(crashes int) int) (crashes int, err error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		crashed := make(chan struct{})
		p.disk(o.Name).change(func(d *memoryDisk) {
			d.left = writes(crashes)
			d.crash = func() {
				p.Crash(o.Name)
				close(crashed)
				cancel()
			}
		})
		err := p.startWithin(ctx, o)
		if err == nil {
			select {
			case <-crashed:
				p.mu.Lock()
				r := p.peers[o.Name]
				p.mu.Unlock()
				_ = r.Close() // without mu: who waits for a mutex keeps fake time from passing
			case <-time.After(5 * time.Second):
			}
		}
		if err != nil && strings.Contains(err.Error(), ErrCrashed.Error()) {
			<-crashed
		}
		cancel()
		select {
		case <-crashed:
			crashes++
		default:
			p.disk(o.Name).change(func(d *memoryDisk) { d.left = 0 })
			return crashes, err
		}
	}
}

// once has the first start crash after so many writes.
func once(write int) func(int) int {
	return func(crashes int) int {
		if crashes == 0 {
			return write
		}
		return 0
	}
}

func TestPeerThatCrashesAgainAndAgainComesUpAllTheSame(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		each := func(crashes int) int { return min(crashes+1, 20) % 20 }
		if n, err := p.interrupt(p.options("a"), each); err != nil || n < 6 {
			t.Fatalf("after %d crashes: %v", n, err)
		}
		pushed(t, p.peers["a"], "/data/x", 1)
		if n, err := p.interrupt(p.options("b", "a"), each); err != nil || n < 15 {
			t.Fatalf("after %d crashes: %v", n, err)
		}
		p.eventually(5*time.Second, "two votes", func() bool { return p.agree("a leader, b follower", "a", "b") })
		pushed(t, p.peers["b"], "/data/x", 2)
	})
}

// Each write of a join, alone: every disk that one crash can leave.
func TestJoinThatCrashesOnceGoesOn(t *testing.T) {
	for write := range 20 {
		t.Run(fmt.Sprint(write+1), func(t *testing.T) {
			play(t, func(t *testing.T, p *party) {
				a := p.open(p.options("a"))
				if n, err := p.interrupt(p.options("b", "a"), once(write+1)); err != nil || n != 1 {
					t.Fatalf("after %d crashes: %v", n, err)
				}
				p.eventually(5*time.Second, "two votes", func() bool { return strings.Contains(list(a), "b follower") && p.agree(list(a), "b") })
				if b := p.peers["b"]; b.Cluster() != a.Cluster() || string(b.CookieKey()) != string(a.CookieKey()) {
					t.Error("b has another cluster or cookie key")
				}
			})
		})
	}
}

// Peers that expect each other, one of which crashes once, after each write.
func TestFormationThatCrashesGoesOn(t *testing.T) {
	names := []string{"a", "b", "c"}
	for _, who := range names {
		for write := range 24 {
			t.Run(fmt.Sprint(who, write+1), func(t *testing.T) {
				play(t, func(t *testing.T, p *party) {
					up := make(chan error)
					for _, name := range names {
						o := p.options(name, names...)
						o.Expect = len(names)
						go func() {
							err := error(nil)
							if name == who {
								_, err = p.interrupt(o, once(write+1))
							} else {
								err = p.start(o)
							}
							up <- err
						}()
					}
					for range names {
						if err := <-up; err != nil {
							t.Error(err)
						}
					}
					if !t.Failed() {
						p.one(names...)
					}
				})
			})
		}
	}
}

// one checks that peers are one cluster, in which all vote.
func (p *party) one(names ...string) {
	p.t.Helper()
	p.eventually(10*time.Second, "one cluster in which all vote", func() bool {
		l := list(p.peers[names[0]])
		return strings.Count(l, "follower") == len(names)-1 && strings.Count(l, "leader") == 1 && p.agree(l, names...)
	})
	for _, name := range names {
		if a, b := p.peers[name].Cluster(), p.peers[names[0]].Cluster(); a != b {
			p.t.Errorf("%s is of %s, %s of %s", name, a, names[0], b)
		}
	}
}
