package raft

import (
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
	"vera/test/bubble"
)

func TestALeaderWritesWhileItsFollowersDo(t *testing.T) {
	const write = 100 * time.Millisecond
	took := func(ahead bool) (took time.Duration) {
		bubble.Test(t, func(t *testing.T) {
			c := newCluster(t, "a", "b", "c")
			defer c.close()
			leader := c.peers[c.leader(c.names...)]
			id, life := session(t, leader, "one")
			if !ahead {
				leader.ahead.may = func() bool { return false }
			}
			for _, name := range c.names {
				c.Slow(name, write)
			}
			took = time.Hour
			for n := range 5 { // a peer's mark may be under way
				began := time.Now()
				propose(t, leader, push(id, life, "/data/x", n))
				took = min(took, time.Since(began))
			}
		})
		return took
	}
	if together, after := took(true), took(false); together >= write*3/2 || after < 2*write {
		t.Errorf("a push took %v, and %v where the leader writes first, with disks that take %v", together, after, write)
	}
}

// Entries that only a follower has written, and that the leader loses when it
// crashes, may be overwritten. Nobody was told of them.
func TestNothingIsToldThatTheLeaderHasNotWritten(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.close()
		old := c.leader(c.names...)
		other, away := c.others(old)[0], c.others(old)[1]
		id, life := session(t, c.peers[old], "one")
		c.Isolate(away)
		c.Hang(old)
		was, _ := c.peers[old].guard.LastIndex()
		for _, through := range []string{old, other} {
			c.peers[through].Propose([]state.Command{push(id, life, "/data/x", 1)}, func(_ []state.Reply, err error) {
				if err == nil {
					t.Errorf("a push through %s is acknowledged that its leader lost", through)
				}
			})
		}
		until(t, "the entries are at "+other, 200*time.Millisecond, func() bool { return c.peers[other].hraft.LastIndex() > was })
		advance(400 * time.Millisecond)
		for _, name := range []string{old, other} {
			if l, _ := c.peers[name].Machine().List("/data/x"); l.Len() > 0 {
				t.Errorf("%s has applied what the leader has not written", name)
			}
			if told := c.peers[name].Status().Committed; told > was {
				t.Errorf("%s says that %d is committed; the leader has written %d", name, told, was)
			}
		}
		c.crash(old)
		c.crash(other)
		c.Mend(old)
		c.HealAll()
		c.open(old)
		c.leader(old, away)
		if l, _ := c.peers[away].Machine().List("/data/x"); l.Len() > 0 {
			t.Errorf("%s knows what was lost", away)
		}
		c.open(other)
		advance(5 * time.Second)
		for _, name := range c.names {
			if l, _ := c.peers[name].Machine().List("/data/x"); l.Len() > 0 {
				t.Errorf("%s has what was lost", name)
			}
		}
	})
}

// hungAhead has entries 2 to 4 being written ahead to a disk that hangs.
func hungAhead(t *testing.T) (a *ahead, d *memoryDisk, fatal chan error) {
	t.Helper()
	d = newMemoryDisk("a")
	s, err := d.claim()
	if err != nil {
		t.Fatal(err)
	}
	fatal = make(chan error, 1)
	a = newAhead(&guard{stores: s, fatal: func(err error) { fatal <- err }}, func() bool { return true })
	a.guard.running.Store(true)
	if err := a.StoreLog(&hraft.Log{Index: 1, Type: hraft.LogConfiguration}); err != nil {
		t.Fatal(err)
	}
	if last := a.durable(); last < 1 || d.last() != 1 {
		t.Errorf("what is no command was not written at once")
	}
	d.change(func(d *memoryDisk) { d.hung = true })
	if err := a.StoreLogs([]*hraft.Log{{Index: 2}, {Index: 3}, {Index: 4, Data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	return a, d, fatal
}

func TestWhatIsWrittenAheadIsRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, d, _ := hungAhead(t)
		var l hraft.Log
		if err := a.GetLog(4, &l); err != nil || string(l.Data) != "x" {
			t.Errorf("%+v, %v", l, err)
		}
		if err := a.GetLog(1, &l); err != nil || l.Index != 1 {
			t.Errorf("%+v, %v", l, err)
		}
		if err := a.GetLog(5, &l); err != hraft.ErrLogNotFound {
			t.Error(err)
		}
		if last, err := a.LastIndex(); last != 4 || err != nil || a.durable() != 1 {
			t.Errorf("last %d, %v; durable up to %d", last, err, a.durable())
		}
		d.change(func(d *memoryDisk) { d.hung = false })
		if a.await(4); a.durable() < 4 || d.last() != 4 {
			t.Error("it was not written")
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// waits are all that must wait for what is being written ahead.
func waits(a *ahead) map[string]func() {
	return map[string]func(){
		"a write":    func() { _ = a.StoreLog(&hraft.Log{Index: 5}) },
		"a deletion": func() { _ = a.DeleteRange(4, 4) },
		"a vote":     func() { _ = a.Set([]byte("vote"), []byte("a")) },
		"a term":     func() { _ = a.SetUint64([]byte("term"), 2) },
		"applying":   func() { a.await(2) },
	}
}

func TestWhatFollowsFromAWriteAheadWaitsForIt(t *testing.T) {
	for name := range waits(nil) {
		bubble.Test(t, func(t *testing.T) {
			a, d, _ := hungAhead(t)
			defer a.Close()
			ended := false
			go func() {
				waits(a)[name]()
				ended = true
			}()
			a.await(1)
			synctest.Wait()
			if ended {
				t.Errorf("%s does not wait", name)
			}
			d.change(func(d *memoryDisk) { d.hung = false })
			synctest.Wait()
			if !ended {
				t.Errorf("%s waits for ever", name)
			}
		})
	}
}

func TestNothingFollowsFromAWriteAheadThatFailed(t *testing.T) {
	for name := range waits(nil) {
		bubble.Test(t, func(t *testing.T) {
			a, d, fatal := hungAhead(t)
			went := false
			go func() {
				waits(a)[name]()
				went = true
			}()
			d.change(func(d *memoryDisk) { d.hung, d.failing = false, ErrDisk })
			synctest.Wait()
			if went {
				t.Errorf("%s goes on", name)
			}
			if a.durable() != 1 {
				t.Errorf("durable up to %d", a.durable())
			}
			select {
			case <-fatal:
			default:
				t.Error("the process does not end")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
