package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/rs/zerolog"

	"vera"
	"vera/raft/state"
)

// shared is a log that several proposers share. As hashicorp/raft and a network
// may, it loses, delays and doubles what it is given, and what it did not
// commit is lost or kept when another peer leads. What it committed stays.
type shared struct {
	t      *testing.T
	random *rand.Rand
	peers  []*citizen

	mu     sync.Mutex
	term   uint64
	led    bool // somebody leads
	faults int  // in a hundred hand-overs
	given  []*hraft.Log
	stale  [][]byte // copies that may come again
	log    []*hraft.Log
	at     []time.Time // of the commits
}

// citizen is a peer on a shared log.
type citizen struct {
	*proposer
	all     *shared
	id      state.PeerID
	started uint64 // on its disk
	fsm     *fsm
	stop    chan struct{}
	applied int       // entries of the log
	own     time.Time // when the newest of its own was committed that it has applied
	unaware bool      // of the last change of leadership
	fate    *rand.Rand
	timeout time.Duration
}

// newFSM is a machine of its own with what tells of it.
func newFSM(p *proposer) *fsm {
	f := &fsm{
		machine: state.New(), proposer: p, graces: newGraces(), feed: newFeed(100, 1<<20), waiters: newWaiters(),
		peers: newPeers("a-1", card{}), metrics: newMetrics(nil), ready: make(chan struct{}),
		silences: newSilences(p.peer, time.Second, 500*time.Millisecond, time.Second), fellows: newFellows(p.peer, zerolog.Nop()),
	}
	p.reached = f.fellows.hashes.reached
	close(f.ready)
	return f
}

// newShared makes a log with peers, to be called in a bubble of fake time.
func newShared(t *testing.T, random *rand.Rand, peers int, timeout time.Duration) *shared {
	s := &shared{t: t, random: random}
	for i := range peers {
		c := &citizen{all: s, id: state.PeerID(i + 1), timeout: timeout, fate: rand.New(rand.NewPCG(random.Uint64(), 4))}
		s.peers = append(s.peers, c)
		c.start()
	}
	t.Cleanup(func() {
		for _, c := range s.peers {
			c.end()
		}
	})
	return s
}

// start has the peer begin with what is on its disk: how often it started.
func (c *citizen) start() {
	c.stop, c.applied, c.own = make(chan struct{}), 0, time.Time{}
	c.proposer = newProposer(c.id, c.timeout, func() (uint64, error) {
		c.started++
		return c.started, nil
	}, c.take)
	c.fsm = newFSM(c.proposer)
	go c.run(c.stop)
}

func (c *citizen) end() {
	close(c.stop)
	synctest.Wait()
	c.close()
}

// take is what each proposer enters.
func (c *citizen) take(entries [][]byte) error {
	s := c.all
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.led {
		return errors.New("nobody leads")
	}
	for _, e := range entries {
		if c.fate.IntN(20) == 0 && len(s.stale) < 100 {
			s.stale = append(s.stale, e)
		}
	}
	if c.fate.IntN(100) >= s.faults {
		s.put(entries)
		return nil
	}
	failed := errors.New("perhaps not")
	cut := c.fate.IntN(len(entries) + 1)
	switch c.fate.IntN(6) {
	case 0: // nothing came, and that is known
		return failed
	case 1: // the start of it came
		s.put(entries[:cut])
		return failed
	case 2: // it was lost on the way
	case 3: // all of it came
		s.put(entries)
		return failed
	case 4:
		s.put(entries)
		s.put(entries)
	case 5: // one was refused, the others taken
		s.put(entries[:cut])
		s.put(entries[min(cut+1, len(entries)):])
	}
	return nil
}

func (s *shared) put(entries [][]byte) {
	for _, e := range entries {
		s.given = append(s.given, &hraft.Log{Term: s.term, Type: hraft.LogCommand, Data: e})
	}
}

// commit commits some of what was given.
func (s *shared) commit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range min(n, len(s.given)) {
		l := s.given[0]
		s.given = s.given[1:]
		l.Index = uint64(len(s.log) + 1)
		s.log, s.at = append(s.log, l), append(s.at, time.Now())
	}
}

// elect makes another term, with a part of what was given, and tells all but
// some of it.
func (s *shared) elect(led bool, told int) {
	s.mu.Lock()
	s.given = s.given[:s.random.IntN(len(s.given)+1)]
	s.term++
	s.led = led
	s.mu.Unlock()
	for _, c := range s.peers {
		if c.unaware = s.random.IntN(100) >= told; !c.unaware {
			c.route(led)
		}
	}
}

// apply has a peer apply some of what is committed.
func (c *citizen) apply(n int) {
	s := c.all
	s.mu.Lock()
	logs := s.log[c.applied:min(c.applied+n, len(s.log))]
	at := s.at[c.applied : c.applied+len(logs)]
	s.mu.Unlock()
	if len(logs) == 0 {
		return
	}
	for i, l := range logs {
		if of := state.PeerID(binary.LittleEndian.Uint64(l.Data[1:])); of == c.id {
			c.own = at[i]
		}
	}
	c.applied += len(logs)
	c.fsm.ApplyBatch(logs)
}

// install gives a peer the state of another that is ahead of it.
func (c *citizen) install(from *citizen) {
	if from.applied <= c.applied {
		return
	}
	var snapshot bytes.Buffer
	if _, err := from.fsm.machine.Snapshot().WriteTo(&snapshot); err != nil {
		c.all.t.Fatal(err)
	}
	if err := c.fsm.Restore(io.NopCloser(&snapshot)); err != nil {
		c.all.t.Fatal(err)
	}
	c.applied = from.applied
}

// declareGone has whoever leads declare a peer gone that lives.
func (s *shared) declareGone(c *citizen) {
	ahead := s.peers[0]
	for _, other := range s.peers {
		if other.applied > ahead.applied {
			ahead = other
		}
	}
	known := ahead.fsm.machine.Peer(c.id)
	if known.Incarnation == 0 || known.Gone {
		return
	}
	gone := state.Batch{Peer: ahead.id, Commands: []state.Command{{Kind: state.PeerGone, Peer: c.id, Incarnation: known.Incarnation, Grace: time.Second}}}
	s.mu.Lock()
	s.put([][]byte{gone.Append(nil)})
	s.mu.Unlock()
}

// heal ends all faults and waits until nobody waits for anything.
func (s *shared) heal() {
	s.mu.Lock()
	s.faults = 0
	s.mu.Unlock()
	s.elect(true, 100)
	for range 200 {
		synctest.Wait()
		s.commit(1 << 30)
		idle := true
		for _, c := range s.peers {
			c.apply(1 << 30)
			c.mu.Lock()
			idle = idle && !c.waiting() && !c.void
			c.mu.Unlock()
		}
		synctest.Wait()
		if idle && len(s.given) == 0 {
			return
		}
		advance(100 * time.Millisecond)
	}
	s.t.Fatal("somebody waits for ever")
}

// session opens a session on a peer of a healthy log.
func (c *citizen) session(name string) (vera.SessionID, uint64) {
	id := vera.SessionOf([]byte(name), "")
	life := uint64(0)
	c.propose([]state.Command{{Kind: state.Open, Session: id, Grace: time.Second}}, func(r []state.Reply, err error) {
		if err != nil {
			c.all.t.Errorf("open: %v", err)
		}
		life = r[0].Life
	})
	c.all.heal()
	if life == 0 {
		c.all.t.Fatal(fmt.Sprint("no session ", name))
	}
	return id, life
}
