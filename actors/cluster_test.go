package actors

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera"
	"vera/raft/state"
)

// How a cluster in fake time behaves.
const (
	clusterTick    = 50 * time.Millisecond
	clusterPulse   = 500 * time.Millisecond
	clusterSuspect = 1500 * time.Millisecond
	clusterGone    = 2 * time.Second
	clusterTimeout = 5 * time.Second
)

// cluster is one log with several peers in fake time. One goroutine commits
// what the peers hand over and has each apply it, as far as their ways to and
// from the leader are open. The leader counts graces from the commit on: no
// real leader is earlier.
type cluster struct {
	t       testing.TB
	failing time.Duration // the failover grace
	wake    chan struct{}
	stop    chan struct{}
	stopped sync.WaitGroup
	told    func(state.Output) // on the cluster's goroutine, with each commit
	systems []*System          // that run, one a peer
	former  []*System          // whose process is over

	mu      sync.Mutex
	halted  bool // there is no leader
	truth   *state.Machine
	entries []*handed // committed
	index   uint64
	doubts  map[vera.SessionID]running
	peers   []*fellow
}

// running is a grace that runs.
type running struct {
	life, since uint64
	due         time.Time
}

// handed is an entry that a peer handed over.
type handed struct {
	by     *fellow
	at     time.Time
	index  uint64
	data   []byte // a batch
	mark   uint64 // number of a mark, for what is no batch
	inc    uint64
	of     *wish
	offset int
	count  int
}

// wish is one call of Propose.
type wish struct {
	commands []state.Command
	replies  []state.Reply
	open     int
	due      time.Time
	done     func([]state.Reply, error) // nil: told
}

// fellow is one peer's log; it is a Log.
type fellow struct {
	cluster *cluster
	id      state.PeerID
	name    string
	machine *state.Machine
	feed    *memoryFeed
	lives   atomic.Bool // its process runs

	// Under the cluster's lock.
	in, out, hands bool // it hears of commits; what it hands over commits; it hands over
	busy           bool // it hands over marks only: commands wait for others before them
	incarnation    uint64
	sequence       uint64
	queue          []*wish
	sent           []*handed
	applied        int // entries
	pulsed         time.Time
	heard          time.Time // by the leader
	contact        time.Time
	marks          uint64
	barriers       []barrier
	waiting        []*reached
}

// barrier waits for a mark.
type barrier struct {
	mark uint64 // 0: not handed over
	due  time.Time
	done func(uint64, error)
}

func newCluster(t testing.TB, peers int) *cluster {
	c := &cluster{
		t: t, failing: 10 * time.Second, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		truth: state.New(), doubts: map[vera.SessionID]running{},
	}
	for i := range peers {
		c.join(i, 1)
	}
	c.stopped.Go(c.run)
	for i := range peers {
		c.systems = append(c.systems, c.begin(i))
	}
	t.Cleanup(c.close)
	return c
}

// join begins an incarnation of a peer.
func (c *cluster) join(i int, incarnation uint64) {
	f := &fellow{
		cluster: c, id: state.PeerID(10 + i), name: string(rune('a' + i)), machine: state.New(),
		feed: &memoryFeed{most: 1 << 16}, in: true, out: true, hands: true, heard: time.Now(),
	}
	f.lives.Store(true)
	f.rise(incarnation)
	if i < len(c.peers) {
		c.peers[i].lives.Store(false)
		c.peers[i] = f
	} else {
		c.peers = append(c.peers, f)
	}
}

// rise takes an incarnation; what was under way is void, and handed over anew
// in its order.
func (f *fellow) rise(incarnation uint64) {
	f.incarnation, f.sequence = incarnation, 0
	var again []*handed
	for _, h := range f.cluster.entries[f.applied:] {
		if h.by == f {
			again = append(again, h)
		}
	}
	again = append(again, f.sent...)
	f.sent = nil
	f.send([]state.Command{{Kind: state.PeerUp, Grace: f.cluster.failing}}, nil, 0)
	for _, h := range again {
		if h.of != nil {
			f.send(h.of.commands[h.offset:h.offset+h.count], h.of, h.offset)
		}
	}
}

// begin starts the actors of a peer.
func (c *cluster) begin(i int) *System {
	o := testOptions()
	o.Limits.FailoverGrace = c.failing
	o.Shards = 2
	o.Fatal = func(err error) { c.t.Errorf("fatal: %v", err) }
	f := c.peers[i]
	c.until(func() bool { // as raft.Open
		p := f.machine.Peers()
		for _, p := range p {
			if p.Peer == f.id && p.Incarnation == f.incarnation {
				return true
			}
		}
		return false
	})
	y, err := start(o, f, f.feed, shared())
	if err != nil {
		c.t.Fatal(err)
	}
	return y
}

func (c *cluster) until(holds func() bool) {
	for !holds() {
		pass(clusterTick)
	}
}

// restart ends a peer's process and starts it again: nobody here says goodbye.
func (c *cluster) restart(i int) {
	c.mu.Lock()
	incarnation := c.peers[i].incarnation + 1
	c.join(i, incarnation)
	c.mu.Unlock()
	c.former = append(c.former, c.systems[i])
	c.systems[i] = c.begin(i)
}

// with changes something.
func (c *cluster) with(do func()) {
	c.mu.Lock()
	do()
	c.mu.Unlock()
	c.poke()
}

func (c *cluster) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// cut opens or closes a peer's ways.
func (c *cluster) cut(i int, in, out bool) {
	c.with(func() { c.peers[i].in, c.peers[i].out, c.peers[i].hands = in, out, true })
}

func (c *cluster) heal() {
	c.with(func() {
		c.halted = false
		for _, f := range c.peers {
			f.in, f.out, f.hands, f.busy = true, true, true, false
		}
	})
}

func (c *cluster) close() {
	c.heal()
	for _, y := range append(c.systems, c.former...) {
		y.Close()
	}
	close(c.stop)
	c.stopped.Wait()
	for _, f := range c.peers {
		if err := f.machine.Check(); err != nil {
			c.t.Errorf("the machine of %s: %v", f.name, err)
		}
	}
}

func (c *cluster) run() {
	ticker := time.NewTicker(clusterTick)
	defer ticker.Stop()
	for {
		select {
		case <-c.wake:
		case <-ticker.C:
		case <-c.stop:
			return
		}
		for c.step() {
		}
	}
}

// step does what can be done now, and says whether that was anything.
func (c *cluster) step() bool {
	c.mu.Lock()
	before := len(c.entries)
	now := time.Now()
	for _, f := range c.peers {
		f.handOver(now)
		if f.out && !c.halted {
			for _, h := range f.sent {
				c.commit(h)
				f.heard = now
			}
			f.sent = nil
		}
	}
	if !c.halted {
		c.lead(now)
	}
	moved := len(c.entries) > before
	var all []func()
	for _, f := range c.peers {
		if f.in {
			all = append(all, f.apply()...)
		}
		all = append(all, f.giveUp(now)...)
	}
	c.mu.Unlock()
	for _, tell := range all {
		tell()
	}
	return moved || len(all) > 0
}

// lead does what only a leader does: endings, and declaring peers gone.
func (c *cluster) lead(now time.Time) {
	for id, r := range c.doubts {
		if !r.due.After(now) {
			delete(c.doubts, id)
			c.declare(state.Command{Kind: state.Expire, Session: id, Life: r.life, Since: r.since})
		}
	}
	for _, f := range c.peers {
		if now.Sub(f.heard) >= clusterGone {
			f.heard = now
			for _, p := range c.truth.Peers() {
				if p.Peer == f.id && !p.Gone {
					c.declare(state.Command{Kind: state.PeerGone, Peer: p.Peer, Incarnation: p.Incarnation, Grace: c.failing})
				}
			}
		}
	}
}

func (c *cluster) declare(command state.Command) {
	b := state.Batch{Commands: []state.Command{command}}
	c.commit(&handed{data: b.Append(nil)})
}

func (c *cluster) commit(h *handed) {
	c.index++
	h.index = c.index
	c.entries = append(c.entries, h)
	if h.data == nil {
		c.truth.Advance(h.index)
		return
	}
	out := c.truth.Apply(h.index, h.data)
	for _, s := range out.Sessions {
		switch s.What {
		case state.Detached:
			c.doubts[s.Session] = running{s.Life, s.Since, time.Now().Add(s.Grace)}
		case state.Over:
			delete(c.doubts, s.Session)
		}
	}
	if c.told != nil {
		c.told(out)
	}
}
