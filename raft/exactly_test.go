package raft

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// story is what clients did on a shared log, and what they were told.
type story struct {
	*shared
	sessions []vera.SessionID
	lives    []uint64
	pushes   []*telling
	barriers atomic.Int64 // passed
	lost     atomic.Int64 // proposals whose outcome nobody told
	excused  bool
}

// telling is one push.
type telling struct {
	session int
	told    int    // how often
	version uint64 // 0: not acknowledged
	no      bool   // told that it was not applied
}

// sessions of each peer in a story.
const sessionsEach = 2

func newStory(t *testing.T, seed uint64) *story {
	random := rand.New(rand.NewPCG(seed, 3))
	timeout := 5 * time.Second
	if seed%2 == 0 {
		timeout = time.Hour // nothing is given up: so all must be told
	}
	s := &story{shared: newShared(t, random, 3, timeout)}
	s.heal()
	for i, c := range s.peers {
		for j := range sessionsEach {
			id, life := c.session(fmt.Sprint(i, j))
			s.sessions, s.lives = append(s.sessions, id), append(s.lives, life)
		}
	}
	return s
}

// push proposes some pushes and watches of a peer's clients.
func (s *story) push(n int) {
	c := s.peers[n]
	var commands []state.Command
	var of []*telling
	for range 1 + s.random.IntN(4) {
		session := n*sessionsEach + s.random.IntN(sessionsEach)
		id, life := s.sessions[session], s.lives[session]
		if s.random.IntN(3) == 0 {
			commands, of = append(commands, state.Command{Kind: state.Watch, Session: id, Life: life, Path: "/data/x", SessionWatches: 9}), append(of, nil)
			continue
		}
		commands, of = append(commands, push(id, life, "/data/x", len(s.pushes))), append(of, &telling{session: session})
		s.pushes = append(s.pushes, of[len(of)-1])
	}
	machine := c.fsm.machine
	c.propose(commands, func(replies []state.Reply, err error) {
		if err != nil {
			s.lost.Add(1)
		}
		for i, p := range of {
			if p != nil {
				p.hear(s.t, machine, replies[i], err)
			}
		}
	})
}

func (p *telling) hear(t *testing.T, machine *state.Machine, r state.Reply, err error) {
	p.told++
	switch {
	case r.Code == vera.OK:
		p.version = r.Version
		if r.Version == 0 || machine.Applied() < r.Version {
			t.Errorf("told of version %d when %d is applied", r.Version, machine.Applied())
		}
	case r.Code != "" || err == nil:
		t.Errorf("told %+v, %v", r, err)
	default:
		p.no = applied(t, err) == vera.AppliedNo
	}
}

// ask passes a barrier: all that was committed before must be applied then.
func (s *story) ask(c *citizen) {
	s.mu.Lock()
	committed := uint64(len(s.log))
	s.mu.Unlock()
	machine := c.fsm.machine
	c.barrier(func(index, _ uint64, err error) {
		if err == nil {
			s.barriers.Add(1)
			if index <= committed || machine.Applied() < index {
				s.t.Errorf("a barrier passed at %d, applied %d; %d was committed before", index, machine.Applied(), committed)
			}
		}
	})
}

// step is one thing that happens.
func (s *story) step() {
	n := s.random.IntN(len(s.peers))
	c := s.peers[n]
	switch s.random.IntN(30) {
	case 0, 1, 2, 3, 4, 5, 6:
		s.push(n)
	case 7, 8:
		s.ask(c)
	case 9, 10, 11, 12, 13, 14:
		s.commit(1 + s.random.IntN(20))
	case 15, 16, 17, 18, 19, 20, 21:
		c.apply(1 + s.random.IntN(20))
	case 22:
		s.elect(s.random.IntN(3) > 0, 50)
	case 23:
		if c.unaware {
			c.unaware = false
			c.route(s.led)
		}
	case 24:
		s.declareGone(c)
	case 25:
		if s.random.IntN(3) == 0 {
			s.excused = true
			c.end()
			c.start()
			c.route(s.led)
		}
	case 26:
		if s.random.IntN(3) == 0 {
			s.excused = true
			c.install(s.peers[s.random.IntN(len(s.peers))])
		}
	case 27:
		s.mu.Lock()
		if len(s.stale) > 0 && s.led {
			s.put(s.stale[s.random.IntN(len(s.stale)):])
			s.stale = nil
		}
		s.mu.Unlock()
	case 28:
		c.announce()
	default:
		advance(time.Duration(s.random.IntN(1000)) * time.Millisecond)
	}
	synctest.Wait()
	s.checkContact()
}

// checkContact: nobody takes himself for in touch later than the log was with him.
func (s *story) checkContact() {
	for _, c := range s.peers {
		if contact := c.lastContact(); contact.After(c.own) {
			s.t.Errorf("peer %d was in touch at %v, but the last of its own was committed at %v", c.id, contact, c.own)
		}
		c.mu.Lock()
		if held := c.window.len(); held > batchesOpen*batchEntries+1 {
			s.t.Errorf("%d entries are under way", held)
		}
		c.mu.Unlock()
	}
}

// check compares what was told with what is on the list of every peer.
func (s *story) check() {
	hash := s.peers[0].fsm.machine.Hash()
	for _, c := range s.peers {
		if got := c.fsm.machine.Hash(); got != hash || c.fsm.fellows.diverged() != "" {
			s.t.Errorf("peer %d has hash %x, the first %x: %q", c.id, got, hash, c.fsm.fellows.diverged())
		}
	}
	l, _ := s.peers[0].fsm.machine.List("/data/x")
	versions := map[int]uint64{}
	last := make([]int, len(s.sessions)) // highest push of each session so far, plus one
	for item := range l.All() {
		var data struct{ N int }
		if err := json.Unmarshal(item.Data, &data); err != nil {
			s.t.Fatal(err)
		}
		if versions[data.N] != 0 {
			s.t.Errorf("push %d is there twice", data.N)
		}
		versions[data.N] = item.Version
		session := slices.Index(s.sessions, item.Session)
		if data.N < last[session] {
			s.t.Errorf("push %d comes after %d of the same session", data.N, last[session]-1)
		}
		last[session] = data.N + 1
	}
	for n, p := range s.pushes {
		switch version := versions[n]; {
		case p.told != 1:
			s.t.Errorf("push %d was told of %d times", n, p.told)
		case p.version != 0 && version != p.version:
			s.t.Errorf("push %d was acknowledged as %d and is there as %d", n, p.version, version)
		case p.no && version != 0:
			s.t.Errorf("push %d is there though it was not applied", n)
		}
	}
}

// TestNothingIsLostOrDoubledOnASharedLog: three proposers on a log that fails
// as logs do, with leaders that change, peers that are declared gone though they
// live, restarts and installed snapshots.
func TestNothingIsLostOrDoubledOnASharedLog(t *testing.T) {
	runs := uint64(2000)
	if bubble.Raced || testing.Short() {
		runs = 300
	}
	var pushed, acknowledged, passed, renumbered int
	for seed := range runs {
		bubble.Test(t, func(t *testing.T) {
			s := newStory(t, seed)
			s.faults = s.random.IntN(60)
			for range 150 {
				s.step()
			}
			s.heal()
			s.check()
			if seed%2 == 0 && !s.excused && s.lost.Load() > 0 {
				t.Errorf("%d proposals were not told of, though nothing was given up", s.lost.Load())
			}
			pushed, passed = pushed+len(s.pushes), passed+int(s.barriers.Load())
			for _, p := range s.pushes {
				acknowledged += min(1, int(p.version))
			}
			for _, c := range s.peers {
				renumbered += int(c.started) - 1
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d pushes, %d of them acknowledged, %d barriers passed, %d incarnations begun anew", pushed, acknowledged, passed, renumbered)
	if n := int(runs); pushed < 40*n || acknowledged < pushed*3/4 || passed < 3*n || renumbered < n {
		t.Error("too little happened to show anything")
	}
}
