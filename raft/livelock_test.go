package raft

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
	"vera/test/bubble"
)

// installing counts the snapshots that are sent. After many it takes its time,
// or fake time would stand still.
type installing struct {
	*transport
	sent *atomic.Int64
}

func (i installing) InstallSnapshot(id hraft.ServerID, to hraft.ServerAddress, args *hraft.InstallSnapshotRequest, answer *hraft.InstallSnapshotResponse, data io.Reader) error {
	if i.sent.Add(1) > 100 {
		<-time.After(time.Second)
	}
	return i.transport.InstallSnapshot(id, to, args, answer, data)
}

// installs returns how many snapshots are sent in 6 s after a leader comes back
// that had written as much as it may which nobody else has, while the others
// went on and took a snapshot. again has it start anew before it comes back.
func installs(t *testing.T, trailing uint64, again bool) (sent int64, caughtUp bool) {
	bubble.Test(t, func(t *testing.T) {
		var count atomic.Int64
		c := newClusterWith(t, func(o *Options) {
			o.trailing = trailing
			o.wrap = func(tr *transport) hraft.Transport { return installing{tr, &count} }
		}, "a", "b", "c")
		defer c.close()
		name := c.leader(c.names...)
		old := c.peers[name]
		id, life := session(t, old, "one")
		c.Isolate(name)
		var much []state.Command
		for n := range 2 * batchEntries {
			much = append(much, push(id, life, "/data/x", n))
		}
		old.Propose(much, func([]state.Reply, error) {})
		advance(time.Second)
		next := c.peers[c.leader(c.others(name)...)]
		id, life = session(t, next, "two")
		for n := range 10 {
			propose(t, next, push(id, life, "/data/y", n))
		}
		if err := next.hraft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		if old.hraft.LastIndex() < next.hraft.LastIndex()+batchEntries/2 { // of the first round, which has a batch
			t.Fatalf("the old leader's log ends at %d, the new one's at %d", old.hraft.LastIndex(), next.hraft.LastIndex())
		}
		if again {
			c.crash(name)
		}
		c.HealAll()
		count.Store(0)
		caughtUp = true
		if again {
			soon, cancel := context.WithTimeout(t.Context(), 6*time.Second)
			defer cancel()
			r, err := Open(soon, c.options(name))
			if caughtUp = err == nil; caughtUp {
				c.peers[name], old = r, r
			}
		}
		advance(6 * time.Second)
		sent = count.Load()
		caughtUp = caughtUp && old.Machine().Applied() >= next.Machine().Applied()-10
	})
	return sent, caughtUp
}

// A leader that comes back with a log that contradicts the others' is given
// theirs. Had they kept less than it wrote alone, hashicorp/raft would send it
// one snapshot after another (issue 697): so at most two batches are ever
// without an answer, and far more stays behind a snapshot.
func TestNoSnapshotIsSentAgainAndAgain(t *testing.T) {
	for _, trailing := range []uint64{minTrailing, 64 << 10} {
		for _, again := range []bool{false, true} {
			if sent, caughtUp := installs(t, trailing, again); sent > 1 || !caughtUp {
				t.Errorf("%d trail, restarted %v: %d snapshots were sent, caught up: %v", trailing, again, sent, caughtUp)
			}
		}
	}
	if sent, caughtUp := installs(t, 1, true); sent < 10 || caughtUp {
		t.Errorf("with a short log %d snapshots were sent, caught up: %v: this test finds nothing", sent, caughtUp)
	}
}

func TestLessThanWhatIsUnderWayMayNotTrail(t *testing.T) {
	o := quick(t, t.TempDir())
	o.TrailingEntries = minTrailing - 1
	r, err := Open(t.Context(), o)
	if err == nil {
		t.Error(r.Close())
	} else if !strings.Contains(err.Error(), "TrailingEntries") || !strings.Contains(err.Error(), "2048") {
		t.Error(err)
	}
}
