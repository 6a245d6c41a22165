package actors

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

func TestSinceLeavesOutWhatIsKnown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		pusher := connect(t, y, hello("pusher"))
		first := pusher.push("/data/a", `{"n":1}`)
		c := connect(t, y, hello("one"))
		if m := c.ok(`"action":"watch","path":"/data/a","since":%d`, first.Index); m.Items != nil || m.Index < first.Index {
			t.Errorf("unchanged since %d: %+v", first.Index, m)
		}
		second := pusher.push("/data/a", `{"n":2}`)
		synctest.Wait()
		told := c.messages()
		if m := told[len(told)-1]; len(m.Added) != 1 || len(*m.Items) != 2 {
			t.Errorf("the next change: %+v", m)
		}
		if m := c.ok(`"action":"watch","path":"/data/a","since":%d`, first.Index); m.Items == nil || len(*m.Items) != 2 {
			t.Errorf("changed since %d: %+v", first.Index, m)
		}
		if m := c.ok(`"action":"watch","path":"/data/empty","since":%d`, second.Index); m.Items == nil || m.ETag != "0" {
			t.Errorf("an empty list: %+v", m)
		}

		synctest.Wait() // until the watches are recorded
		began := time.Now()
		rid := c.send(`"action":"watch","path":"/data/b","since":%d`, l.machine.Applied()+1)
		pass(time.Second)
		pusher.push("/data/b", `{}`)
		if m := c.answer(rid); m.Code != vera.OK || m.Items != nil || m.ETag == "0" || time.Since(began) != time.Second {
			t.Errorf("an index that comes: %v later %+v", time.Since(began), m)
		}
		began = time.Now()
		m := c.ask(`"action":"watch","path":"/data/c","since":%d`, l.machine.Applied()+1000)
		if waited := time.Since(began); m.Code != vera.Unavailable || waited < y.limits.Leader || waited > y.limits.Leader+2*grain {
			t.Errorf("an index that never comes: %v later %+v", waited, m)
		}
	})
}

func TestMinIndexIsWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c, pusher := connect(t, y, hello("one")), connect(t, y, hello("pusher"))
		pusher.push("/data/b", `{}`)
		synctest.Wait()
		next := l.machine.Applied() + 2 // the barrier takes one
		rid := c.send(`"action":"get","path":"/data/a","minIndex":%d`, next)
		both := c.send(`"action":"get","path":"/data/a","minIndex":%d,"consistent":true`, next)
		synctest.Wait()
		if n := len(c.messages()); n != 0 {
			t.Fatalf("answered %d before the index", n)
		}
		pusher.push("/data/a", `{}`)
		if m := c.answer(rid); len(*m.Items) != 1 || m.Index < next {
			t.Errorf("answered %+v", m)
		}
		if m := c.answer(both); len(*m.Items) != 1 || m.Index < next {
			t.Errorf("answered %+v", m)
		}
	})
}

func TestConsistentWaitsForTheLeader(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		l.hold(true)
		rid := c.send(`"action":"get","path":"/data/a","consistent":true`)
		stale := c.ok(`"action":"get","path":"/data/a"`)
		pass(time.Second)
		l.hold(false)
		if m := c.answer(rid); m.Code != vera.OK || m.Index <= stale.Index {
			t.Errorf("answered %+v behind %d", m, stale.Index)
		}
		l.hold(true)
		if m := c.ask(`"action":"get","path":"/data/a","consistent":true`); m.Code != vera.Unavailable || m.Applied != false {
			t.Errorf("without a leader: %+v", m)
		}
	})
}

// What this peer missed in the feed it makes good by looking at everything.
func TestAFeedThatLostChangesIsMadeGood(t *testing.T) {
	y, l := newSystem(t)
	h := record(l, "/data/a")
	l.feed.mu.Lock()
	l.feed.most = 3
	l.feed.mu.Unlock()
	watcher, ended := connect(t, y, hello("watcher")), connect(t, y, hello("ended"))
	rid := watcher.send(`"action":"watch","path":"/data/a"`)
	watcher.answer(rid)
	ended.push("/data/a", `{}`)
	living := l.machine.Session(sessionID("ended"))
	c := connect(t, y, hello("pusher"))
	for n := range 300 {
		c.send(`"action":"push","path":"/data/a","limit":0,"data":{"n":%d}`, n)
		if n == 150 {
			l.Propose([]state.Command{{Kind: state.End, Session: living.ID(), Life: living.Life(), Reason: vera.Ended}}, func([]state.Reply, error) {})
		}
	}
	eventually(t, "the last change told", func() bool {
		m := newMirror(h, vera.NoLimit)
		m.follow(t, watcher.messages(), rid)
		return h.last().list.Len() == 300 && m.final()
	})
	if code := ended.closedWith(); code != vera.CloseEnded {
		t.Errorf("closed with %d", code)
	}
}

func TestTheClusterIsAList(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		peer := func(version uint64, name string) *vera.Item {
			return &vera.Item{Origin: &vera.Origin{Version: version, Owner: name}, Data: fmt.Appendf(nil, `{"name":%q}`, name)}
		}
		l.setPeers(state.NewList(5, []*vera.Item{peer(3, "a"), peer(2, "b")}))
		synctest.Wait()
		c := connect(t, y, hello("one"))
		if m := c.ok(`"action":"get","path":"/vera/peers"`); len(*m.Items) != 2 || m.ETag != "5" {
			t.Errorf("get: %+v", m)
		}
		answer := c.ok(`"action":"watch","path":"/vera/peers","items":false,"since":999`)
		if answer.Items == nil {
			t.Errorf("watch: %+v", answer)
		}
		l.setPeers(state.NewList(6, []*vera.Item{peer(2, "b"), peer(3, "a")}))
		if m := c.notified(answer); !m.Reset || len(*m.Items) != 2 || (*m.Items)[0].Version != 2 || m.ETag != "6" {
			t.Errorf("notified: %+v", m)
		}
		if m := c.ask(`"action":"push","path":"/vera/peers","data":{}`); m.Code != vera.InvalidParameter {
			t.Errorf("push: %+v", m)
		}
	})
}

// A peer that was away loads a snapshot instead of the entries that it missed:
// nobody here saw why an item left, so the list is told whole.
func TestAfterASnapshotNothingLeavesWithoutAReason(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		holder, watcher := connect(t, y, hello("holder")), connect(t, y, hello("watcher"))
		gone := holder.push("/data/a", `{"n":1}`)
		stays := holder.push("/data/a", `{"n":2}`)
		watcher.ok(`"action":"watch","path":"/data/a","items":false`)
		synctest.Wait()
		l.with(func() {
			l.errands = append(l.errands, func() {
				ahead := reloaded(t, state.New(), l.machine)
				life := ahead.Session(sessionID("holder")).Life()
				b := state.Batch{Peer: testPeer, Incarnation: l.up, First: l.sequence + 1, Commands: []state.Command{
					{Kind: state.Remove, Session: sessionID("holder"), Life: life, Path: "/data/a", Version: gone.Version},
				}}
				l.sequence++
				l.index++
				ahead.Apply(l.index, b.Append(nil))
				reloaded(t, l.machine, ahead)
				l.feed.restart(l.index)
			})
		})
		m := watcher.wait(0, "a notification", func(m *told) bool { return m.Action == "notify" })
		if !m.Reset || m.Items == nil || len(*m.Items) != 1 || (*m.Items)[0].Version != stays.Version || len(m.Removed) > 0 {
			t.Errorf("%+v", m)
		}
		added := holder.push("/data/a", `{"n":3}`)
		if m = watcher.notified(m); m.Reset || len(m.Added) != 1 || m.Added[0].Version != added.Version {
			t.Errorf("after that: %+v", m)
		}
	})
}

// reloaded has a machine load what another one holds.
func reloaded(t *testing.T, m, from *state.Machine) *state.Machine {
	var b bytes.Buffer
	if _, err := from.Snapshot().WriteTo(&b); err != nil {
		t.Error(err)
	}
	if err := m.Restore(&b); err != nil {
		t.Error(err)
	}
	return m
}
