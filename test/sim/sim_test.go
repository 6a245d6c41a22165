package sim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera"
	"vera/actors"
	"vera/raft"
	"vera/test/bubble"
	"vera/test/history"
)

// run is one run: what it is told, and what became of it.
type run struct {
	seed    uint64
	lie     func(*raft.Raft) actors.Log[*raft.Feed]
	nemesis nemesis
	guests  []*guest
	history *history.History
}

// play runs a cluster in fake time and returns its history.
func (r *run) play(t *testing.T) {
	random := rand.New(rand.NewPCG(r.seed, 0))
	c := &cluster{memory: raft.NewMemory(), record: history.NewRecorder(), lie: r.lie, peers: map[string]*peer{}, lives: map[string]bool{}, starting: map[string]bool{}, began: time.Now()}
	c.names = []string{"a", "b", "c", "d", "e"}[:3+2*(random.IntN(4)/3)]
	c.running, c.cancel = context.WithCancel(context.Background())
	c.snapshots = random.IntN(4) == 0
	if len(c.names) > 3 {
		c.observer = c.names[random.IntN(len(c.names))]
	}
	defer c.close()
	if err := c.memory.Form(c.names...); err != nil {
		t.Fatal(err)
	}
	var opening sync.WaitGroup
	for _, name := range c.names {
		opening.Go(func() {
			if err := c.open(name); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}
	r.nemesis = nemesis{cluster: c, random: rand.New(rand.NewPCG(r.seed, 1))}
	r.probe()
	stop := make(chan struct{})
	var visits sync.WaitGroup
	for n := range 2 + random.IntN(3) {
		g := newGuest(c, n, rand.New(rand.NewPCG(r.seed, uint64(2+n))))
		r.guests = append(r.guests, g)
		visits.Go(func() { g.visit(stop) })
	}
	for range 1 + random.IntN(3) {
		r.nemesis.rest(time.Second)
		r.nemesis.strike()
	}
	r.heal()
	close(stop)
	visits.Wait()
	r.quiet(random)
	r.history = c.record.History(true)
}

// heal has all be well again, and waits until every peer is up.
func (r *run) heal() {
	c := r.nemesis.cluster
	c.memory.HealAll()
	for _, name := range c.names {
		c.memory.Mend(name)
	}
	r.nemesis.awaitWhole()
}

// awaitWhole waits until every peer is up and knows all others and a leader.
func (n *nemesis) awaitWhole() {
	for range 200 {
		up := 0
		for _, name := range n.names {
			if p := n.peer(name); p != nil && p.raft.Status().Leader != "" && n.knowsAll(p) {
				up++
			}
		}
		if up == len(n.names) {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	n.wrong("not all peers are up after 20 s of health: %v", n.told)
}

// knowsAll says whether a peer knows every peer, with a vote unless it is to have none.
func (c *cluster) knowsAll(p *peer) bool {
	voters, listed := len(c.names), 0
	for item := range p.raft.Peers().All() {
		listed++
		if strings.Contains(string(item.Data), `"role":"observer"`) && !strings.Contains(string(item.Data), fmt.Sprintf(`"name":%q`, c.observer)) {
			voters--
		}
	}
	return voters == len(c.names) && listed == voters
}

// quiet has some guests go and the others stay, and waits until nothing
// changes any more; then it looks at what each peer has.
func (r *run) quiet(random *rand.Rand) {
	c := r.nemesis.cluster
	var ending sync.WaitGroup
	for i, g := range r.guests {
		how := random.IntN(4)
		ending.Go(func() { g.finish(i == 0 || how < 2, how == 2) })
	}
	ending.Wait()
	alive := map[string]bool{}
	for _, g := range r.guests {
		alive[g.id.String()] = g.stays
	}
	for range 150 {
		<-time.After(100 * time.Millisecond)
		if c.settled(alive) {
			break
		}
	}
	<-time.After(200 * time.Millisecond)
	for _, g := range r.guests {
		g.confirm()
	}
	for _, name := range c.names {
		if p := c.peer(name); p != nil {
			c.record.Final(p.final())
		}
	}
}

// settled says whether no peer has a session whose client is gone.
func (c *cluster) settled(alive map[string]bool) bool {
	for _, name := range c.names {
		p := c.peer(name)
		if p == nil {
			return false
		}
		for s := range p.raft.Machine().Sessions() {
			if !alive[s.ID().String()] {
				return false
			}
		}
	}
	return true
}

// final is what a peer has.
func (p *peer) final() history.Peer {
	m := p.raft.Machine()
	last := history.Peer{Name: p.name, Index: m.Applied(), Lists: map[string]history.Listed{}, Holds: map[string][]uint64{}}
	for n := range 3 {
		path := fmt.Sprint("/data/", n)
		l, _ := m.List(vera.Path(path))
		if l.Len() > 0 {
			last.Lists[path] = history.Listed{ETag: l.ETag(), Items: items(l)}
		}
	}
	for s := range m.Sessions() {
		var versions []uint64
		for held := range s.Items() {
			versions = append(versions, held.Version)
		}
		last.Holds[s.ID().String()] = versions
	}
	return last
}

// judge plays a run and returns what is wrong with it.
func judge(t *testing.T, seed uint64, lie func(*raft.Raft) actors.Log[*raft.Feed]) ([]history.Violation, string) {
	r := &run{seed: seed, lie: lie}
	bubble.Test(t, r.play)
	if r.history == nil {
		t.Fatalf("-sim.seed %d: the run did not come to its end", seed)
	}
	found := r.history.Check()
	for _, wrong := range r.nemesis.wrongs {
		found = append(found, history.Violation{Name: "Wrong", Sentence: wrong})
	}
	told := fmt.Sprintf("-sim.seed %d: %s\n%s", seed, strings.Join(r.nemesis.told, "; "), history.Text(found))
	if *tellAll {
		told += "\n" + strings.Join(slices.Sorted(maps.Keys(r.nemesis.lives)), "\n")
		for _, o := range r.history.Operations {
			told += fmt.Sprintf("\n%d to %d: %v", o.Called.Seq, o.Returned.Seq, o)
		}
	}
	return found, told
}

func TestRuns(t *testing.T) {
	count := *runs
	if count == 0 {
		count = 2000
		if testing.Short() || bubble.Raced {
			count = 60
		}
	}
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for n := next.Add(1); n <= int64(count) && !t.Failed(); n = next.Add(1) {
				seed := uint64(n)
				if *onlySeed != 0 {
					seed = *onlySeed
				}
				if found, told := judge(t, seed, nil); len(found) > 0 {
					t.Error(told)
				}
			}
		})
	}
}
