package raft

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// behind has a follower speak for a second without hearing anything: its push
// is committed, and is in the leader's snapshot, behind which the log is gone.
// It returns both, and what becomes of the push.
func behind(t *testing.T, c *cluster) (leader, r *Raft, told chan error) {
	leader = c.peers[c.leader(c.names...)]
	r = c.peers[c.others(leader.Name())[0]]
	id, life := session(t, r, "one")
	other, otherLife := session(t, leader, "two")
	for _, name := range c.others(r.Name()) {
		c.PartitionOneWay(name, r.Name())
	}
	propose(t, leader, push(other, otherLife, "/data/y", 0)) // the one append that is on its way to it
	synctest.Wait()
	told = make(chan error, 1)
	r.Propose([]state.Command{push(id, life, "/data/x", 1)}, func(replies []state.Reply, err error) {
		if replies[0].Code != "" {
			t.Errorf("answered with %+v: no state was installed", replies)
		}
		told <- err
	})
	leader.SetClientURL("http://elsewhere:1")
	for _, third := range c.others(r.Name()) {
		until(t, "the leader's URL is known", 10*time.Second, func() bool { return elsewhere(c.peers[third]) })
	}
	for n := range 50 {
		propose(t, leader, push(other, otherLife, "/data/y", n))
	}
	if l, _ := leader.Machine().List("/data/x"); l.Len() != 1 {
		t.Fatal("its push did not arrive")
	}
	if err := leader.hraft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	return leader, r, told
}

// elsewhere says whether a peer knows that another is reached elsewhere.
func elsewhere(r *Raft) bool {
	for item := range r.Peers().All() {
		if strings.Contains(string(item.Data), "elsewhere") {
			return true
		}
	}
	return false
}

// A peer that was away for longer than the log is kept gets the leader's state
// while it runs, and all of it is told: the feed, the peers, those who wait, and
// the proposer, whose push is in that state, without its answer.
func TestStateIsInstalledWhileThePeerRuns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newClusterWith(t, func(o *Options) { o.trailing, o.Timeout, o.Gone = 5, time.Minute, time.Minute }, "a", "b", "c")
		defer c.close()
		leader, r, told := behind(t, c)
		position := r.Feed().Index()
		reached := make(chan struct{})
		r.WhenApplied(leader.Machine().Applied(), func() { close(reached) })
		c.HealAll()
		<-reached
		if err := <-told; applied(t, err) != vera.AppliedUnknown {
			t.Error(err)
		}
		if n, missed := r.Feed().Read(position, make([]state.Output, 10)); n != 0 || !missed {
			t.Errorf("the feed tells of %d, missed %v", n, missed)
		}
		if !elsewhere(r) {
			t.Error("it does not know where the leader is reached")
		}
		barrier(t, r)
		l, _ := r.Machine().List("/data/x")
		all, _ := r.Machine().List("/data/y")
		if l.Len() != 1 || all.Len() != 51 || r.Incarnation() != 1 {
			t.Errorf("%d and %d items, incarnation %d", l.Len(), all.Len(), r.Incarnation())
		}
		advance(2 * time.Second)
		for _, name := range c.names {
			if s := c.peers[name].Status(); s.Diverged != "" || s.Suspended {
				t.Errorf("%s: %+v", name, s)
			}
		}
		session(t, r, "three")
	})
}

// TestOlderStateIsRefused: whoever was told of an index sees nothing of before it.
func TestOlderStateIsRefused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.close()
		r := c.peers[c.leader(c.names...)]
		id, life := session(t, r, "one")
		if err := r.hraft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		propose(t, r, push(id, life, "/data/x", 1))
		all, err := r.snapshots.List()
		if err != nil || len(all) == 0 {
			t.Fatal(err)
		}
		_, content, err := r.snapshots.Open(all[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		applied := r.Machine().Applied()
		if err := r.fsm.Restore(content); err == nil || r.Machine().Applied() != applied {
			t.Errorf("%v, applied %d of %d", err, r.Machine().Applied(), applied)
		}
		_ = content.Close()
	})
}
