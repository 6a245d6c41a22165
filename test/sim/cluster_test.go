package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/actors"
	"vera/raft"
	"vera/raft/state"
	"vera/test/history"
)

// failoverGrace is shorter than in earnest, so that more happens in a run.
const failoverGrace = 3 * time.Second

// cluster is peers in one memory.
type cluster struct {
	memory    *raft.Memory
	record    *history.Recorder
	lie       func(*raft.Raft) actors.Log[*raft.Feed] // what stands between log and actors; nil: nothing
	names     []string
	observer  string // who comes back without a vote, once replaced; "": nobody
	snapshots bool   // are taken often
	jobs      sync.WaitGroup
	running   context.Context
	cancel    context.CancelFunc

	mu       sync.Mutex
	began    time.Time
	peers    map[string]*peer // those that run
	starting map[string]bool  // those that are about to
	wrongs   []string         // what went wrong beside what the history tells
	lives    map[string]bool  // what became of sessions
}

// wrong records something that must not be.
func (c *cluster) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrongs = append(c.wrongs, fmt.Sprintf(format, args...))
}

// peer is one that runs.
type peer struct {
	name   string
	raft   *raft.Raft
	system *actors.System
	opened atomic.Bool
	gone   chan struct{} // closed when it is over
	poked  chan struct{}
	read   sync.WaitGroup

	mu     sync.Mutex
	frozen chan struct{} // closed when it goes on; nil: it is not stopped
}

// open starts a peer, and waits until it is up.
func (c *cluster) open(name string) error {
	limits := vera.DefaultLimits(1000)
	limits.FailoverGrace = failoverGrace
	limits.Leader = 2 * time.Second
	p := &peer{name: name, gone: make(chan struct{}), poked: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(c.running)
	defer cancel()
	fatal := func(error) {
		c.jobs.Go(func() {
			if !c.crash(name, p) && !p.opened.Load() {
				c.memory.Crash(name)
				cancel()
			}
		})
	}
	o := raft.Options{
		Name: name, Memory: c.memory, FailoverGrace: failoverGrace, Timeout: limits.Leader, Logger: zerolog.Nop(), Fatal: fatal,
		Pulse: 250 * time.Millisecond, Suspect: 900 * time.Millisecond, Gone: time.Second,
		Secret: []byte("the secret of all peers"), Observer: name == c.observer,
	}
	for _, other := range c.names {
		if other != name {
			o.Join = append(o.Join, other+":1")
		}
	}
	if c.snapshots {
		// More entries must trail than can be under way: else hashicorp/raft may
		// send one snapshot after another (its issue 697).
		o.SnapshotEntries, o.SnapshotInterval, o.TrailingEntries = 40, 500*time.Millisecond, 2048
	}
	r, err := raft.Open(ctx, o)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	p.raft = r
	p.read.Go(func() { c.follow(p) })
	r.Feed().Poke(func() {
		select {
		case p.poked <- struct{}{}:
		default:
		}
	})
	var log actors.Log[*raft.Feed] = r
	if c.lie != nil {
		log = c.lie(r)
	}
	p.system, err = actors.New(actors.Options{Limits: limits, Shards: 1, Fatal: fatal, Stage: stage}, log)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers[name] = p
	p.opened.Store(true)
	return nil
}

// follow records what the log does on a peer.
func (c *cluster) follow(p *peer) {
	outputs := make([]state.Output, 64)
	var at uint64
	for {
		n, missed := p.raft.Feed().Read(at, outputs)
		if missed {
			at = p.raft.Feed().Index() // begun with a snapshot
		}
		for _, o := range outputs[:n] {
			at = o.Index
			c.logged(o)
		}
		if n > 0 {
			continue
		}
		select {
		case <-p.poked:
		case <-p.gone:
			return
		}
	}
}

func (c *cluster) logged(o state.Output) {
	for _, change := range o.Changes {
		if change.Path == vera.PeersPath {
			continue
		}
		c.record.Logged(history.Change{Index: o.Index, Path: string(change.Path), Items: items(change.After)})
	}
	for _, s := range o.Sessions {
		c.note(o, s)
		if s.What == state.Over {
			c.record.Ended(s.Session.String(), s.Life, o.Index, s.Reason)
		}
	}
}

// note keeps what became of a session, to be told if the run fails.
func (c *cluster) note(o state.Output, s state.SessionChange) {
	what := map[state.Event]string{state.Opened: "opened", state.Attached: "attached", state.Detached: "detached", state.Over: "over"}[s.What]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives[fmt.Sprintf("%06d by peer %d/%d: session %s (%d) %s since %d grace %v %v", o.Index, o.Peer, o.Incarnation, s.Session, s.Life, what, s.Since, s.Grace, s.Reason)] = true
}

// items is a list as history has it.
func items(l *state.List) []history.Item {
	all := []history.Item{}
	for it := range l.All() {
		all = append(all, history.Item{Version: it.Version, Updated: it.Updated, Session: it.Session.String(), Life: it.Life, Data: it.Data})
	}
	return all
}

// peer returns one that runs, or nil.
func (c *cluster) peer(name string) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers[name]
}

// take has a peer run no more for anybody who looks, and returns whether it did.
func (c *cluster) take(name string, p *peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p == nil || c.peers[name] != p {
		return false
	}
	delete(c.peers, name)
	return true
}

// crash kills a peer and clears away what is left of it. It returns whether it
// ran.
func (c *cluster) crash(name string, p *peer) bool {
	if !c.take(name, p) {
		return false
	}
	c.memory.Crash(name)
	c.end(p)
	return true
}

func (c *cluster) end(p *peer) {
	close(p.gone)
	_ = p.raft.Close()
	p.system.Close()
	p.read.Wait()
}

// drain ends a peer in peace: its clients are sent away, and it says goodbye.
func (c *cluster) drain(name string) {
	p := c.peer(name)
	if !c.take(name, p) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.system.Close()
	_ = p.raft.Yield(ctx)
	_ = p.raft.Close()
	close(p.gone)
	p.read.Wait()
}

// starts has a peer start that neither runs nor starts, and returns whether
// that was so; or it has started, or could not.
func (c *cluster) starts(name string, begins bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begins && (c.peers[name] != nil || c.starting[name]) {
		return false
	}
	c.starting[name] = begins
	return true
}

// close stops all peers.
func (c *cluster) close() {
	c.cancel()
	for _, name := range c.names {
		if p := c.peer(name); c.take(name, p) {
			c.end(p)
		}
	}
	c.jobs.Wait()
}
