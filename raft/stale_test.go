package raft

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"
)

// late has a leader ask whether it still leads when it does not: it stood still
// while the others chose another and wrote, and on waking it finds the answer of
// a follower that came before all that. It returns whether the leader then
// reads what is no longer so.
//
// Fake time cannot stop one peer alone. So this one has a lease of ten seconds
// instead, and what is sent to it and by it is held.
func late(t *testing.T, seed uint64, ask func(r *Raft) error) (stale bool) {
	bubble.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 5))
		upTo := func(most time.Duration) time.Duration { return time.Duration(random.Int64N(int64(most))) }
		c := newClusterWith(t, func(o *Options) {
			if o.Name == "a" {
				o.Heartbeat, o.Election, o.Lease = 10*time.Second, 10*time.Second, 10*time.Second
			}
		}, "a", "b", "c")
		defer c.close()
		if c.leader(c.names...) != "a" {
			if err := c.peers["a"].Transfer(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			until(t, "a leads", 5*time.Second, func() bool { return c.leader(c.names...) == "a" })
		}
		old := c.peers["a"]
		advance(time.Second + upTo(time.Second))
		for _, name := range c.others("a") {
			c.PartitionOneWay(name, "a") // answers are on their way
		}
		advance(time.Second + upTo(time.Second)) // it sends heartbeats, which are answered,
		for _, name := range c.others("a") {
			c.PartitionOneWay("a", name) // and nothing any more
		}
		next := c.peers[c.without("a")]
		id, life := session(t, next, "one")
		version := propose(t, next, push(id, life, "/data/x", 1))[0].Version
		if !old.Leading() {
			t.Fatal("it knows that it does not lead")
		}
		told := make(chan error, 1)
		read := 0
		go func() {
			err := ask(old)
			l, _ := old.Machine().List("/data/x")
			read = l.Len()
			told <- err
		}()
		synctest.Wait()
		for _, name := range c.others("a")[random.IntN(2):] {
			c.hold(way{name, "a"}, false) // the answers arrive, or some
		}
		advance(upTo(100 * time.Millisecond))
		c.HealAll()
		err := <-told
		if err == nil && read == 0 {
			stale = true
		}
		until(t, "it learns of the push", 20*time.Second, func() bool { return old.Machine().Applied() >= version })
	})
	return stale
}

// A consistent read is never of before its question, also on a leader that
// does not know yet that it was deposed.
func TestDeposedLeaderReadsNothingStale(t *testing.T) {
	runs := uint64(200)
	if bubble.Raced || testing.Short() {
		runs = 20
	}
	stale := func(ask func(r *Raft) error) (n int) {
		for seed := range runs {
			if late(t, seed, ask) {
				n++
			}
		}
		return n
	}
	if n := stale(func(r *Raft) error {
		passed := make(chan error, 1)
		r.Barrier(func(_ uint64, err error) { passed <- err })
		return <-passed
	}); n > 0 {
		t.Errorf("%d barriers of %d passed on a deposed leader", n, runs)
	}
	runs = 10
	n := stale(func(r *Raft) error { return r.hraft.VerifyLeader().Error() })
	if n == 0 {
		t.Error("with VerifyLeader instead this test finds nothing")
	}
	t.Logf("with VerifyLeader %d of %d read what was no longer so", n, runs)
	if n := stale(func(r *Raft) error {
		if !r.Leading() {
			return errLate(vera.AppliedNo)
		}
		return nil
	}); n == 0 {
		t.Error("with nothing instead this test finds nothing")
	}
}
