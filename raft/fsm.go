package raft

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// fsm is the machine as hashicorp/raft sees it, and tells what the log did to
// all who want to know. Its methods are called by one goroutine at a time.
type fsm struct {
	machine  *state.Machine
	proposer *proposer
	graces   *graces
	silences *silences
	fellows  *fellows
	feed     *Feed
	waiters  *waiters
	peers    *peers
	metrics  *metrics

	ready  chan struct{} // closed when all parts know of each other: nothing is applied before
	term   atomic.Uint64 // of the last entry
	broken atomic.Pointer[error]

	// Memory that each batch uses again.
	own     own
	kept    []kept
	points  []point
	others  []mark       // of other peers
	speaker state.PeerID // whose batch came last
	nothing []any
}

// ApplyBatch applies entries, in order, then tells of them: first the feed,
// then those who wait.
func (f *fsm) ApplyBatch(logs []*hraft.Log) []any {
	<-f.ready
	start := time.Now()
	for _, l := range logs {
		f.apply(l)
	}
	index := f.machine.Applied()
	f.fellows.hashes.add(f.points, point{index, f.machine.Hash()})
	finished, passed := f.proposer.answer(&f.own)
	f.metrics.applied(time.Since(start), len(logs))
	f.feed.add(f.kept, index)
	tell(finished)
	tellPassed(passed)
	f.waiters.reached(index)
	for _, m := range f.others {
		f.fellows.heard(m)
	}
	f.own = own{outputs: emptied(f.own.outputs), marks: emptied(f.own.marks)}
	f.kept, f.points, f.others = emptied(f.kept), emptied(f.points), emptied(f.others)
	f.speaker = 0
	if len(f.nothing) < len(logs) {
		f.nothing = make([]any, len(logs))
	}
	return f.nothing[:len(logs)] // replies go through the proposer
}

// Apply is ApplyBatch of one entry.
func (f *fsm) Apply(l *hraft.Log) any { return f.ApplyBatch([]*hraft.Log{l})[0] }

func (f *fsm) apply(l *hraft.Log) {
	if l.Term != f.term.Load() {
		f.term.Store(l.Term)
		f.peers.renew()
	}
	switch {
	case l.Type == hraft.LogConfiguration:
		f.machine.Advance(l.Index)
		f.configure(hraft.DecodeConfiguration(l.Data), l.Index)
		f.tellPeers(l.Index)
	case l.Type != hraft.LogCommand:
		f.machine.Advance(l.Index)
	case isMark(l.Data):
		f.applyMark(l)
	default:
		f.applyBatch(l)
	}
}

// configure takes who belongs to the cluster from now on.
func (f *fsm) configure(c hraft.Configuration, index uint64) {
	f.peers.configure(c, index)
	f.fellows.keep(f.peers.member)
	f.silences.poke() // who was removed is gone
}

func (f *fsm) applyMark(l *hraft.Log) {
	m, err := parseMark(l.Data)
	if err != nil {
		panic(fmt.Sprintf("raft: entry %d of the log: %v", l.Index, err))
	}
	f.machine.Advance(l.Index)
	f.tellPeers(l.Index)
	if m.peer == f.proposer.peer {
		f.own.marks = append(f.own.marks, seen{m.incarnation, m.number, l.Index, l.Term})
		f.silences.passed(l.Term)
		return
	}
	f.others = append(f.others, m)
	f.silences.heard(m.peer, m.incarnation, l.Term)
}

func (f *fsm) applyBatch(l *hraft.Log) {
	out := f.machine.Apply(l.Index, l.Data)
	f.points = append(f.points, point{l.Index, out.Hash})
	switch {
	case out.First == 0:
		f.whoIsGone(l.Index)
	case out.Peer == f.proposer.peer:
		f.own.outputs = append(f.own.outputs, out)
	case !out.Skipped && out.Peer != f.speaker:
		f.speaker = out.Peer
		f.silences.heard(out.Peer, out.Incarnation, l.Term)
		if out.First == 1 {
			f.silences.rose(out.Peer)
		}
	}
	if out.First <= 1 { // the leader's word on somebody, or the first of one who is up
		f.peers.look()
	}
	f.graces.note(out.Sessions)
	f.metrics.sessions(out.Sessions)
	if len(out.Changes) > 0 || len(out.Sessions) > 0 {
		out.Replies = nil
		f.kept = append(f.kept, kept{out, cost(&out, len(l.Data))})
	}
}

// whoIsGone looks whether the leader declared this peer gone.
func (f *fsm) whoIsGone(index uint64) {
	if p := f.machine.Peer(f.proposer.peer); p.Gone && f.own.gone != p.Incarnation {
		f.own.gone, f.own.since = p.Incarnation, index
	}
}

// tellPeers tells the feed of the peers if they changed since.
func (f *fsm) tellPeers(index uint64) {
	if change, changed := f.peers.build(index); changed {
		out := state.Output{Index: index, Hash: f.machine.Hash(), Changes: []state.Change{change}}
		f.kept = append(f.kept, kept{out, cost(&out, 0)})
	}
}

// cost is how many bytes, about, an output in the feed keeps alive: itself, its
// entry, the lists, and the items that left them.
func cost(out *state.Output, entry int) int {
	bytes := 200 + entry + 100*len(out.Sessions)
	for i := range out.Changes {
		c := &out.Changes[i]
		bytes += 300 + 300*max(0, c.Before.Len()-c.After.Len())
	}
	return bytes
}

// Snapshot takes an image of the machine, to be written while it goes on.
func (f *fsm) Snapshot() (hraft.FSMSnapshot, error) { return image{f.machine.Snapshot()}, nil }

// Restore replaces the machine's state by that of a snapshot: at the start, or
// of the leader's when this peer was away for longer than the log is kept. It
// is never an older one: whoever was told of an index must not see what was
// before it.
func (f *fsm) Restore(snapshot io.ReadCloser) error {
	meta := metaOf(snapshot)
	if applied := f.machine.Applied(); meta != nil && meta.Index < applied {
		return fmt.Errorf("a snapshot of index %d when %d is applied", meta.Index, applied)
	}
	if err := f.machine.Restore(snapshot); err != nil {
		f.broken.Store(&err) // hashicorp/raft would go on with an older one
		return err
	}
	if meta != nil {
		f.machine.Advance(meta.Index)
		f.term.Store(meta.Term)
		f.configure(meta.Configuration, meta.ConfigurationIndex)
	}
	index := f.machine.Applied()
	f.peers.build(index)
	f.fellows.restart(point{index, f.machine.Hash()})
	f.graces.load(f.machine.Doubts())
	f.silences.restart()
	finished := f.proposer.covered(f.machine.Peer(f.proposer.peer))
	f.feed.restart(index)
	tell(finished)
	f.waiters.reached(index)
	return nil
}

// image is a snapshot on its way to the disk.
type image struct{ *state.Image }

// Persist writes the image and closes the sink.
func (i image) Persist(sink hraft.SnapshotSink) error {
	if _, err := i.WriteTo(sink); err != nil {
		return err // the caller cancels the sink
	}
	return sink.Close()
}

// Release has nothing to let go of.
func (i image) Release() {}

// emptied keeps a slice's memory but not what it pointed to; a large one goes.
func emptied[T any](s []T) []T {
	if cap(s) > 4*batchEntries {
		return nil
	}
	clear(s)
	return s[:0]
}
