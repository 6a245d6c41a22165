package raft

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
)

// A peer that was away for longer than the log is kept gets the leader's state
// while it runs, and all of it is told: the feed, the peers, those who wait, and
// the proposer, whose push is in that state, without its answer.
func TestStateIsInstalledWhileThePeerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClusterWith(t, func(o *Options) { o.TrailingEntries = 5; o.Timeout = time.Minute }, "a", "b", "c")
		defer c.close()
		leader := c.peers[c.leader(c.names...)]
		r := c.peers[c.others(leader.Name())[0]]
		id, life := session(t, r, "one")
		other, otherLife := session(t, leader, "two")
		position := r.Feed().Index()
		for _, name := range c.others(r.Name()) {
			c.PartitionOneWay(name, r.Name()) // it speaks, and hears nothing
		}
		propose(t, leader, push(other, otherLife, "/data/y", 0)) // the one append that is on its way to it
		synctest.Wait()
		type answer struct {
			replies []state.Reply
			err     error
		}
		told := make(chan answer, 1)
		r.Propose([]state.Command{push(id, life, "/data/x", 1)}, func(replies []state.Reply, err error) { told <- answer{replies, err} })
		leader.SetClientURL("http://elsewhere:1")
		for n := range 50 {
			propose(t, leader, push(other, otherLife, "/data/y", n+1))
		}
		advance(time.Second)
		if l, _ := leader.Machine().List("/data/x"); l.Len() != 1 {
			t.Fatal("its push did not arrive")
		}
		if err := leader.hraft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		reached := make(chan struct{})
		r.WhenApplied(leader.Machine().Applied(), func() { close(reached) })
		c.HealAll()
		<-reached
		got := <-told
		if applied(t, got.err) != vera.AppliedUnknown || got.replies[0].Code != "" {
			t.Errorf("%+v %v: the push was answered by the log: no state was installed", got.replies, got.err)
		}
		if n, missed := r.Feed().Read(position, make([]state.Output, 10)); n != 0 || !missed {
			t.Errorf("the feed tells of %d, missed %v", n, missed)
		}
		barrier(t, r)
		l, _ := r.Machine().List("/data/x")
		all, _ := r.Machine().List("/data/y")
		if l.Len() != 1 || all.Len() != 51 || r.Incarnation() != 1 {
			t.Errorf("%d and %d items, incarnation %d", l.Len(), all.Len(), r.Incarnation())
		}
		until(t, "it knows where the leader is reached", 5*time.Second, func() bool {
			for item := range r.Peers().All() {
				if strings.Contains(string(item.Data), "elsewhere") {
					return true
				}
			}
			return false
		})
		advance(2 * time.Second)
		for _, name := range c.names {
			if s := c.peers[name].Status(); s.Diverged != "" || s.Suspended {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if reply := propose(t, r, push(id, life, "/data/x", 2))[0]; reply.Code != vera.OK {
			t.Errorf("%+v", reply)
		}
	})
}

// TestOlderStateIsRefused: whoever was told of an index sees nothing of before it.
func TestOlderStateIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
