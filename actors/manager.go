package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
	"vera/raft/state"
)

// manager is the session-manager: it reads what the log changed and passes it
// on, and watches over the peer's standing in its cluster.
type manager struct {
	box    mailbox
	system *System
	feed   Feed
	read   uint64 // index up to which the feed was read

	poked   atomic.Bool
	poke    turnPage
	ticking atomic.Bool
	tick    tick

	suspended atomic.Bool    // the majority is out of touch; sessions read it
	outputs   []state.Output // scratch
}

// turnPage says that the feed has more.
//
// log → session-manager: entries were applied
type turnPage struct{ link }

// readAtOnce is how many outputs are passed on together, at most.
const readAtOnce = 256

// Receive handles one message.
func (g *manager) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *turnPage:
		g.poked.Store(false)
		g.readOn()
	case *tick:
		g.ticking.Store(false)
		g.look()
	case *ask:
		m.answer(g)
	}
}

func (g *manager) settle() {}

func (g *manager) reborn(message) {}

func (g *manager) describe() any {
	return map[string]any{"read": g.read, "suspended": g.suspended.Load()}
}

// readOn passes on what the feed has, in the log's order: one message for each
// shard that a round concerns.
func (g *manager) readOn() {
	for {
		n, missed := g.feed.Read(g.read, g.outputs)
		if missed {
			g.read = g.feed.Index()
			g.startOver()
			continue
		}
		if n == 0 {
			return
		}
		g.read = g.outputs[n-1].Index
		g.pass(g.outputs[:n])
		clear(g.outputs[:n])
	}
}

// startOver has everybody look at the machine anew.
func (g *manager) startOver() {
	for _, w := range g.system.watchShards {
		w.box.post(&afresh{})
	}
	for _, d := range g.system.shards {
		d.box.post(&afresh{})
	}
}

func (g *manager) pass(outputs []state.Output) {
	y := g.system
	at := y.now()
	watches := make([]*changes, len(y.watchShards))
	sessions := make([]*lives, len(y.shards))
	for i := range outputs {
		for _, c := range outputs[i].Changes {
			to := y.watchShardIndex(c.Path)
			if watches[to] == nil {
				watches[to] = &changes{at: at}
			}
			watches[to].all = append(watches[to].all, c)
		}
		for _, c := range outputs[i].Sessions {
			to := y.shardIndex(c.Session)
			if sessions[to] == nil {
				sessions[to] = &lives{}
			}
			sessions[to].all = append(sessions[to].all, c)
		}
	}
	for i, m := range watches {
		if m != nil {
			y.watchShards[i].box.post(m)
		}
	}
	for i, m := range sessions {
		if m != nil {
			y.shards[i].box.post(m)
		}
	}
}

// look sees whether the majority is in touch, and turns the shards' wheels.
func (g *manager) look() {
	status := g.system.log.Status()
	was := g.suspended.Load()
	suspended := status.Suspended || was && status.Applied < status.Committed
	if suspended != was {
		g.suspended.Store(suspended)
		for _, d := range g.system.shards {
			d.box.post(&doubt{suspended: suspended})
		}
	}
	for _, d := range g.system.shards {
		d.box.post(&tick{})
	}
}

// turned is called by the log when the feed has more.
func (g *manager) turned() {
	if !g.poked.Load() && g.poked.CompareAndSwap(false, true) {
		g.box.post(&g.poke)
	}
}

// ticked is called by the clock.
func (g *manager) ticked() {
	if g.ticking.CompareAndSwap(false, true) {
		g.box.post(&g.tick)
	}
}

// attachment returns this peer's part in a session. The machine has those of
// a peer's present incarnation only.
func (y *System) attachment(s *state.Session) (a state.Attachment, attached bool) {
	for _, a := range s.Attachments() {
		if a.Peer == y.log.Peer() {
			return a, true
		}
	}
	return a, false
}

// attached says whether the log counts this peer among a session's.
func (y *System) attached(s *state.Session) bool {
	_, attached := y.attachment(s)
	return attached
}

// list is a list as this peer has it, and the index at which it is so.
func (y *System) list(path vera.Path) (*state.List, uint64) {
	if path != vera.PeersPath {
		return y.log.Machine().List(path)
	}
	index := y.log.Machine().Applied()
	return y.log.Peers(), index
}
