package raft

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"vera/raft/state"
)

// fellows are what the others' marks say of their logs, compared with the own
// one. The hash of a log is rolling: peers that differ once differ until one
// of them gets the state of another.
type fellows struct {
	self   state.PeerID
	hashes *hashes
	name   func(state.PeerID) string
	log    zerolog.Logger
	found  func() // is called for each mark that differs

	mu sync.Mutex
	by map[state.PeerID]*fellow // bounded by the peers that ever wrote to the log
}

// fellow is another peer.
type fellow struct {
	compared bool // with the own log, since that began
	differs  bool
}

func newFellows(self state.PeerID, log zerolog.Logger) *fellows {
	return &fellows{
		self: self, hashes: newHashes(), log: log,
		name:  func(id state.PeerID) string { return fmt.Sprintf("%016x", uint64(id)) },
		found: func() {},
		by:    map[state.PeerID]*fellow{},
	}
}

// heard takes another peer's mark. The hashes must hold all before it.
func (c *fellows) heard(m mark) {
	if m.peer == c.self || m.point.index == 0 {
		return
	}
	same, told := c.hashes.compare(m.point)
	c.mu.Lock()
	f := c.by[m.peer]
	if f == nil {
		f = &fellow{}
		c.by[m.peer] = f
	}
	news := told && !same && !f.differs
	if told {
		f.compared, f.differs = true, !same
	}
	c.mu.Unlock()
	if told && !same {
		c.found()
	}
	if news {
		c.log.Error().Str("peer", c.name(c.self)).Str("other", c.name(m.peer)).Uint64("index", m.point.index).
			Msg("DIVERGENCE: two peers applied different entries of what must be one log: the one that stands alone must be removed and begin with an empty data directory")
	}
}

// restart forgets what was found, because the own state is another now.
func (c *fellows) restart(p point) {
	c.hashes.restart(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.by {
		f.compared, f.differs = false, false
	}
}

// keep forgets all peers but those that the cluster has.
func (c *fellows) keep(member func(state.PeerID) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.by {
		if !member(id) {
			delete(c.by, id)
		}
	}
}

// diverged says with whom this peer differs, when those are not fewer than
// those that agree with it, itself among them: a peer that most agree with is
// right. "": all is well with this one.
func (c *fellows) diverged() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var others []string
	agree := 1
	for id, f := range c.by {
		switch {
		case f.differs:
			others = append(others, c.name(id))
		case f.compared:
			agree++
		}
	}
	if len(others) < agree {
		return ""
	}
	slices.Sort(others)
	return "its state differs from that of " + strings.Join(others, ", ")
}
