package raft

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"vera"
)

// party is a cluster that comes about and changes as peers join and leave, in
// a bubble of fake time.
type party struct {
	*Memory
	t  testing.TB
	mu sync.Mutex

	peers map[string]*Raft
	last  map[string]error // words, of Options.Fatal
}

// play runs a test of peers that join and leave.
func play(t *testing.T, test func(t *testing.T, p *party)) {
	synctest.Test(t, func(t *testing.T) {
		p := &party{Memory: NewMemory(), t: t, peers: map[string]*Raft{}, last: map[string]error{}}
		defer func() {
			for name := range p.peers {
				p.close(name)
			}
		}()
		test(t, p)
	})
}

var secret = []byte("sixteen bytes or more of it")

// options are those of a peer that joins whoever is named.
func (p *party) options(name string, join ...string) Options {
	o := Options{
		Name: name, Memory: p.Memory, Secret: secret, FailoverGrace: 10 * time.Second,
		ClientURL: "http://" + name + ":8372", Logger: zerolog.Nop(),
		Fatal: func(err error) {
			p.mu.Lock()
			p.last[name] = err
			p.mu.Unlock()
		},
	}
	for _, one := range join {
		o.Join = append(o.Join, one+":1")
	}
	return o
}

func (p *party) start(o Options) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := Open(ctx, o)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peers[o.Name] = r
	return nil
}

// open starts a peer, and fails the test if it does not come up.
func (p *party) open(o Options) *Raft {
	p.t.Helper()
	if err := p.start(o); err != nil {
		p.t.Fatalf("open %s: %v", o.Name, err)
	}
	return p.peers[o.Name]
}

func (p *party) close(name string) {
	p.t.Helper()
	if err := p.peers[name].Close(); err != nil {
		p.t.Errorf("close %s: %v", name, err)
	}
	delete(p.peers, name)
}

// three makes a cluster of a, b and c, and waits until all vote.
func (p *party) three() {
	p.t.Helper()
	p.open(p.options("a"))
	p.open(p.options("b", "a"))
	p.open(p.options("c", "a", "b"))
	p.eventually(5*time.Second, "three votes everywhere", func() bool { return p.agree("a leader, b follower, c follower", "a", "b", "c") })
}

// eventually waits for something to be true.
func (p *party) eventually(within time.Duration, what string, holds func() bool) {
	p.t.Helper()
	for began := time.Now(); !holds(); advance(10 * time.Millisecond) {
		if time.Since(began) > within {
			for name, r := range p.peers {
				p.t.Logf("%s: %s", name, list(r))
			}
			p.t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// agree says whether /vera/peers is as given on some peers; see list.
func (p *party) agree(want string, on ...string) bool {
	for _, name := range on {
		if list(p.peers[name]) != want {
			return false
		}
	}
	return true
}

// listed are the items of /vera/peers.
func listed(r *Raft) (all []peerItem) {
	for item := range r.Peers().All() {
		var one peerItem
		if json.Unmarshal(item.Data, &one) == nil {
			all = append(all, one)
		}
	}
	return all
}

// list says in words what /vera/peers is.
func list(r *Raft) string {
	var words []string
	for _, one := range listed(r) {
		words = append(words, one.Name+" "+one.Role)
	}
	return strings.Join(words, ", ")
}

// pushed pushes one more item through a peer.
func pushed(t testing.TB, r *Raft, path vera.Path, n int) {
	t.Helper()
	id, life := session(t, r, r.Name()+time.Now().String())
	if reply := propose(t, r, push(id, life, path, n))[0]; reply.Code != vera.OK {
		t.Fatalf("push through %s: %+v", r.Name(), reply)
	}
}

func TestPeersJoinOneAfterTheOther(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		a := p.open(p.options("a"))
		pushed(t, a, "/data/x", 1)
		b := p.open(p.options("b", "a"))
		if l, _ := b.Machine().List("/data/x"); l.Len() != 1 {
			t.Errorf("b came up without what was there before: %d items", l.Len())
		}
		p.open(p.options("c", "b")) // whom b refers to the leader
		p.eventually(5*time.Second, "three votes everywhere", func() bool { return p.agree("a leader, b follower, c follower", "a", "b", "c") })
		for name, r := range p.peers {
			if r.Cluster() != a.Cluster() || string(r.CookieKey()) != string(a.CookieKey()) {
				t.Errorf("%s has another cluster or cookie key", name)
			}
			for _, one := range listed(r) {
				if one.Client != "http://"+one.Name+":8372" || one.Peer != "https://"+one.Name+":1" {
					t.Errorf("on %s, %s is at %s and %s", name, one.Name, one.Client, one.Peer)
				}
			}
		}
		// Any two go on without the third, and it comes back by itself.
		p.close("a")
		pushed(t, p.peers["b"], "/data/x", 2)
		p.open(p.options("a"))
		p.eventually(time.Second, "a has what it missed", func() bool {
			l, _ := p.peers["a"].Machine().List("/data/x")
			return l.Len() == 2
		})
	})
}
