package state

import (
	"fmt"
	"testing"
	"time"
)

// numbers is a machine and two peers, each with a session.
type numbers struct {
	t       *testing.T
	machine *Machine
	index   uint64
	life    [3]uint64
}

// push is a push of a peer, by that number.
func (n *numbers) push(peer PeerID, incarnation, first uint64) Batch {
	c := benchPush(int(peer), n.life[peer], "/data/x")
	return Batch{Peer: peer, Incarnation: incarnation, First: first, Commands: []Command{c}}
}

func (n *numbers) up(peer PeerID, incarnation uint64) Batch {
	return Batch{Peer: peer, Incarnation: incarnation, First: 1, Commands: []Command{{Kind: PeerUp}}}
}

func (n *numbers) taken(b Batch) {
	n.t.Helper()
	n.index++
	if out := n.machine.Apply(n.index, b.Append(nil)); out.Skipped {
		n.t.Fatalf("number %d of peer %d, incarnation %d, was skipped", b.First, b.Peer, b.Incarnation)
	}
}

func (n *numbers) skipped(b Batch) {
	n.t.Helper()
	before := fmt.Sprint(n.machine.Peers(), n.machine.Counts())
	n.index++
	out := n.machine.Apply(n.index, b.Append(nil))
	if after := fmt.Sprint(n.machine.Peers(), n.machine.Counts()); !out.Skipped || len(out.Replies)+len(out.Changes)+len(out.Sessions) > 0 || after != before {
		n.t.Fatalf("number %d of peer %d, incarnation %d: %+v; was %s, is %s", b.First, b.Peer, b.Incarnation, out, before, after)
	}
}

// TestEachNumberIsTakenOnceAndInOrder: with two peers between each other in the
// log, an entry that comes again, at once or long after, one behind a gap, and
// one of an incarnation that is over or was never begun do nothing at all.
func TestEachNumberIsTakenOnceAndInOrder(t *testing.T) {
	n := &numbers{t: t, machine: New()}
	for peer := PeerID(1); peer <= 2; peer++ {
		n.taken(n.up(peer, 1))
		n.taken(Batch{Peer: peer, Incarnation: 1, First: 2, Commands: []Command{{Kind: Open, Session: benchSession(int(peer)), Grace: time.Second}}})
		n.life[peer] = n.index
	}
	const end = 20
	last := [3]uint64{1: 2, 2: 2}
	for first := uint64(3); first < end; first++ {
		for peer := PeerID(1); peer <= 2; peer++ {
			n.skipped(n.push(peer, 1, first+1)) // a gap
			n.taken(n.push(peer, 1, first))
			last[peer] = first
			n.skipped(n.push(peer, 1, first)) // at once again
			if last[3-peer] > 2 {
				n.skipped(n.push(3-peer, 1, last[3-peer])) // the other's again, behind this one's
			}
			n.skipped(n.push(peer, 2, first+1)) // never begun
		}
	}
	for peer := PeerID(1); peer <= 2; peer++ {
		for first := uint64(3); first < end; first++ {
			n.skipped(n.push(peer, 1, first)) // long after
		}
		n.taken(n.up(peer, 5))
		n.skipped(n.up(peer, 5))
		n.skipped(n.up(peer, 4))
		n.skipped(n.push(peer, 1, end)) // over
		n.taken(n.push(peer, 5, 2))
		n.skipped(n.push(peer, 5, 2))
	}
	if l, _ := n.machine.List("/data/x"); l.Len() != 2*(end-3)+2 {
		t.Errorf("%d items", l.Len())
	}
	if err := n.machine.Check(); err != nil {
		t.Error(err)
	}
}
