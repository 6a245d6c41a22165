package raft

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/sign"
)

// liar knows the cluster's secret and nothing else. It tells peers, again and
// again, of a configuration of a huge index, of those whom it saw and itself;
// and by turns that it is without the one it tells.
type liar struct {
	*memoryNetwork
	key  string
	seen hello
	stop chan struct{}
	wait sync.WaitGroup
}

func (p *party) liar(seen *Raft) *liar {
	l := &liar{key: sign.KeyID(memoryKey("thief").Public().(ed25519.PublicKey)), seen: seen.hello(), stop: make(chan struct{})}
	l.memoryNetwork = p.Memory.network("thief", l.key, secret)
	l.serve(handlers{
		trusted: func(string) bool { return true },
		call:    func(context.Context, caller, string, []byte) ([]byte, error) { return nil, errClosed },
		stream:  func(_, _ string, c net.Conn) { c.Close() },
	})
	l.seen.ID, l.seen.Card = "thief-01234567", card{address: "thief:1", key: l.key, peer: 0xbad}.String()
	l.seen.Index, l.seen.Leader = 1<<60, "thief-01234567"
	l.seen.Servers = append(l.seen.Servers, server{ID: l.seen.ID, Card: l.seen.Card, Voter: true})
	return l
}

func (l *liar) lie(t *testing.T, to ...string) {
	l.wait.Go(func() {
		for n := 0; ; n++ {
			lie := l.seen
			if n%2 == 0 {
				lie.Servers = lie.Servers[len(lie.Servers)-1:]
			}
			raw, err := json.Marshal(lie)
			if err != nil {
				t.Error(err)
			}
			_, _ = l.call(t.Context(), target{address: to[n/2%len(to)] + ":1"}, callHello, raw)
			select {
			case <-l.stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

func (l *liar) end() {
	close(l.stop)
	l.wait.Wait()
	_ = l.close()
}

// A peer that comes back after all others were replaced finds them although it
// is lied to all the time.
func TestAttackOnAPeerThatLooksForTheOthers(t *testing.T) {
	for _, join := range []string{"a", "d"} { // it is found by the new leader, or finds it
		play(t, func(t *testing.T, p *party) {
			p.three()
			l := p.liar(p.peers["c"])
			p.close("c")
			p.open(p.options("d", "a"))
			p.open(p.options("e", "a"))
			p.eventually(5*time.Second, "d and e vote", func() bool { return strings.Count(list(p.peers["e"]), "follower") == 4 })
			for _, name := range []string{"a", "b"} {
				if err := p.peers["d"].Remove(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				p.ended(name, "was removed")
				p.close(name)
			}
			l.lie(t, "c")
			defer l.end()
			c := p.open(p.options("c", join))
			p.eventually(5*time.Second, "c is back", func() bool { return len(listed(c)) == 3 && p.agree(list(c), "d", "e") })
			p.eventually(5*time.Second, "c trusts the liar no more", func() bool { return !c.trusted(l.key) })
			advance(10 * time.Second)
			if c.trusted(l.key) || p.last["c"] != nil {
				t.Errorf("c trusts the liar, or ended: %v", p.last["c"])
			}
			pushed(t, c, "/data/x", 1)
		})
	}
}

// A peer that is alone may believe a liar, until it hears of another peer again
// or the liar is silent. It is not talked out of its cluster.
func TestAttackOnAPeerThatIsAlone(t *testing.T) {
	for _, silent := range []bool{true, false} {
		play(t, func(t *testing.T, p *party) {
			p.three()
			a := p.peers["a"]
			l := p.liar(a)
			p.close("b")
			p.close("c")
			l.lie(t, "a")
			p.eventually(10*time.Second, "a believes the liar", func() bool { return a.trusted(l.key) })
			if a.vouched(l.key) {
				t.Error("a rumour is taken for true")
			}
			if silent {
				l.end()
				advance(rumourLasts)
				if a.trusted(l.key) {
					t.Error("a rumour outlives who spreads it")
				}
			} else {
				defer l.end()
			}
			p.openAll(p.options("b"), p.options("c"))
			p.eventually(5*time.Second, "a is in touch", func() bool { return !a.Status().Suspended && !a.trusted(l.key) })
			advance(5 * time.Second)
			if a.trusted(l.key) || len(p.last) > 0 {
				t.Errorf("a trusts the liar, or one ended: %v", p.last)
			}
			pushed(t, a, "/data/x", 1)
		})
	}
}

// voteless asks nobody for a vote.
type voteless struct{ *transport }

func (voteless) RequestVote(hraft.ServerID, hraft.ServerAddress, *hraft.RequestVoteRequest, *hraft.RequestVoteResponse) error {
	return errSilent
}

func (voteless) RequestPreVote(hraft.ServerID, hraft.ServerAddress, *hraft.RequestPreVoteRequest, *hraft.RequestPreVoteResponse) error {
	return errSilent
}

// Peers that are a majority listen to no rumour, however long they have no
// leader.
func TestAttackWhileThereIsNoLeader(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		open := func(name string, join ...string) *Raft {
			o := p.options(name, join...)
			o.wrap = func(t *transport) hraft.Transport { return voteless{t} }
			return p.open(o)
		}
		a := open("a")
		b, c := open("b", "a"), open("c", "a")
		p.eventually(5*time.Second, "three votes", func() bool { return p.agree("a leader, b follower, c follower", "b", "c") })
		l := p.liar(a)
		p.close("a")
		l.lie(t, "b", "c")
		defer l.end()
		for range 200 {
			advance(100 * time.Millisecond)
			if b.trusted(l.key) || c.trusted(l.key) {
				t.Fatal("a liar is trusted")
			}
		}
		if b.Status().Leader != "" || c.Status().Leader != "" || len(p.last) > 0 {
			t.Errorf("somebody leads, or ended: %v", p.last)
		}
	})
}
