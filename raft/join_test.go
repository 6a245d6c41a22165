package raft

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/test/bubble"
)

// party is a cluster that comes about and changes as peers join and leave, in
// a bubble of fake time.
type party struct {
	*Memory
	t      testing.TB
	ending sync.Mutex // of last; a peer ends while others hold mu
	mu     sync.Mutex

	peers map[string]*Raft
	last  map[string]error // words, of Options.Fatal
}

// play runs a test of peers that join and leave.
func play(t *testing.T, test func(t *testing.T, p *party)) {
	bubble.Test(t, func(t *testing.T) {
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
			p.ending.Lock()
			p.last[name] = err
			p.ending.Unlock()
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
	return p.startWithin(ctx, o)
}

func (p *party) startWithin(ctx context.Context, o Options) error {
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
				p.t.Logf("%s: %s %+v", name, list(r), listed(r))
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

// denies checks that a peer does not come up, for a reason with these words,
// and that the cluster on a is as it was.
func (p *party) denies(o Options, words ...string) {
	p.t.Helper()
	before := list(p.peers["a"])
	err := p.start(o)
	if err == nil {
		p.t.Fatalf("%s came up", o.Name)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			p.t.Errorf("error %q\ndoes not say %q", err, w)
		}
	}
	advance(time.Second)
	if after := list(p.peers["a"]); after != before {
		p.t.Errorf("there were %q, and now %q", before, after)
	}
}

func TestJoinThatIsRefusedChangesNothing(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.three()
		wrong := p.options("d", "a", "b", "d")
		wrong.Secret = []byte("another secret of that length")
		p.denies(wrong, "secret the same")

		p.close("b")
		p.Wipe("b") // another machine with the old one's name
		p.denies(p.options("b", "a"), `the name "b" is taken`, "remove that one first", "--name")

		p.denies(p.options("d", "nobody"), "did not join", "nobody:1")
		p.denies(Options{Name: "e", Memory: p.Memory, Join: []string{"a:1"}}, "Secret")
		p.denies(p.options("e", "a:1"), "not HOST:PORT")
		six := p.options("e", "a", "b", "c", "d", "e", "f")
		six.Expect = 3
		p.denies(six, "more than half")
	})
}

func TestFormedPeersFormNoSecondCluster(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		cluster := p.open(p.options("a")).Cluster()
		p.open(p.options("b", "a"))
		for _, name := range []string{"a", "b"} { // restarted as if they were new
			p.eventually(2*time.Second, "two votes", func() bool { return len(listed(p.peers["a"])) == 2 })
			p.close(name)
			o := p.options(name, "a", "b", "x")
			o.Expect = 2
			p.open(o)
		}
		a, b := p.peers["a"], p.peers["b"]
		if a.Cluster() != cluster || b.Cluster() != cluster {
			t.Errorf("there was cluster %s, and now there are %s and %s", cluster, a.Cluster(), b.Cluster())
		}
		// New ones that expect each other find it, and join.
		x, y := p.options("x", "a", "x", "y"), p.options("y", "x", "y")
		x.Expect, y.Expect = 2, 2
		p.openAll(x, y)
		if got := p.peers["y"].Cluster(); got != cluster && got != p.peers["x"].Cluster() {
			t.Errorf("x is of %s, y of %s", p.peers["x"].Cluster(), got)
		}
		answer, err := ask[promised](t.Context(), b.network, target{address: "a:1"}, callPromise,
			promise{Cluster: "c", ID: "id", Key: b.directory.Key})
		if err != nil || answer.Given || !strings.Contains(answer.Why, string(cluster)) {
			t.Errorf("a peer that is in a cluster was asked to promise itself: %+v, %v", answer, err)
		}
	})
}

// openAll opens peers at the same time.
func (p *party) openAll(all ...Options) {
	p.t.Helper()
	var opening sync.WaitGroup
	for _, o := range all {
		opening.Go(func() {
			if err := p.start(o); err != nil {
				p.t.Errorf("open %s: %v", o.Name, err)
			}
		})
	}
	opening.Wait()
	if p.t.Failed() {
		p.t.FailNow()
	}
}

func TestObserverHasNoVoteUntilItIsPromoted(t *testing.T) {
	play(t, func(t *testing.T, p *party) {
		p.open(p.options("a"))
		watcher := p.options("o", "a")
		watcher.Observer = true
		p.open(watcher)
		advance(5 * time.Second)
		if !p.agree("a leader, o observer", "a", "o") {
			t.Fatalf("%s; %s", list(p.peers["a"]), list(p.peers["o"]))
		}
		pushed(t, p.peers["o"], "/data/x", 1)
		p.close("o")
		pushed(t, p.peers["a"], "/data/x", 2) // it is not needed for a majority
		p.open(watcher)
		if err := p.peers["o"].Transfer(t.Context(), "o"); err == nil || !strings.Contains(err.Error(), "promote it first") {
			t.Errorf("an observer is asked to lead: %v", err)
		}
		if err := p.peers["a"].Promote(t.Context(), "o"); err != nil {
			t.Fatal(err)
		}
		p.eventually(time.Second, "o votes", func() bool { return p.agree("a leader, o follower", "a", "o") })
		for _, name := range []string{"a", "o"} {
			if err := p.peers[name].Promote(t.Context(), "o"); err == nil || !strings.Contains(err.Error(), "o has a vote already") {
				t.Errorf("promoted twice, asked for on %s: %v", name, err)
			}
		}
		if err := p.peers["a"].Promote(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "the peers are a, o") {
			t.Errorf("promote of nobody: %v", err)
		}
		p.close("o")
		p.open(watcher) // who has a vote keeps it
		advance(5 * time.Second)
		if !p.agree("a leader, o follower", "a") {
			t.Error(list(p.peers["a"]))
		}
	})
}
