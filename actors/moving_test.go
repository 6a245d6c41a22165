package actors

import (
	"slices"
	"testing"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// inCluster runs a test on three peers in fake time.
func inCluster(t *testing.T, test func(t *testing.T, c *cluster)) {
	bubble.Test(t, func(t *testing.T) { test(t, newCluster(t, 3)) })
}

// at brings a client to a peer.
func (c *cluster) at(i int, h vera.Hello) *client { return connect(c.t, c.systems[i], h) }

// length is how many items a list has on a peer.
func (c *cluster) length(i int, path vera.Path) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, _ := c.peers[i].machine.List(path)
	return l.Len()
}

func (c *cluster) session(name string) *state.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.truth.Session(sessionID(name))
}

// state waits for a state message from a place on.
func (c *client) state(from int, want string) told {
	c.t.Helper()
	return c.wait(from, want, func(m *told) bool { return m.Action == "state" && m.State == want })
}

func TestASessionMovesWithItsItemsAndWatches(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		first := c.at(0, hello("one"))
		mine := first.push("/data/a", `{"n":1}`)
		first.ok(`"action":"watch","path":"/data/b","limit":1`)
		first.ok(`"action":"watch","path":"/data/a"`)
		other := c.at(2, hello("other"))
		other.push("/data/b", `{"n":2}`)
		first.leave(vera.EndedLost)
		pass(time.Second)

		second := c.at(1, again(hello("one")))
		for _, path := range []string{"/data/a", "/data/b"} {
			m := second.wait(0, "a reset of "+path, func(m *told) bool { return m.Action == "notify" && m.Path == path })
			if !m.Reset || m.Items == nil || len(*m.Items) != 1 {
				t.Errorf("%s: %+v", path, m)
			}
		}
		info := second.ok(`"action":"session"`)
		if !info.Resumed || len(*info.Items) != 1 || (*info.Items)[0].Version != mine.Version || len(info.Watches) != 2 {
			t.Errorf("on the other peer: %+v", info)
		}
		pass(10 * time.Second) // the grace of the loss is over: it came back
		second.push("/data/a", `{"n":3}`)
		if n := c.length(2, "/data/a"); n != 2 {
			t.Errorf("%d items after the move", n)
		}
		second.leave(vera.EndedClean)
		pass(time.Second)
		if n := c.length(0, "/data/a"); n != 0 {
			t.Errorf("%d items after the end", n)
		}
		other.leave(vera.EndedClean)
	})
}

// One session has connections to two peers: what is watched through one is
// told on both, items are of both, and it lives until the last one goes.
func TestASessionOnTwoPeers(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		left := c.at(0, hello("one"))
		right := c.at(1, again(hello("one")))
		left.push("/data/a", `{}`) // the session begins through the one, and the other hears of it
		right.push("/data/a", `{}`)
		pass(time.Second)
		if s := c.session("one"); len(s.Attachments()) != 2 || s.ItemCount() != 2 {
			t.Fatalf("attached to %v with %d items", s.Attachments(), s.ItemCount())
		}
		left.ok(`"action":"watch","path":"/data/b"`)
		right.wait(0, "a watch of the other peer", func(m *told) bool { return m.Action == "notify" && m.Path == "/data/b" && m.Reset })
		right.ok(`"action":"watch","path":"/data/b","items":false`) // the options of both change
		from := left.wait(0, "the other options", func(m *told) bool { return m.Action == "notify" && m.Path == "/data/b" })
		right.push("/data/b", `{}`)
		for _, side := range []*client{left, right} {
			m := side.wait(from.received+1, "a notification on both", func(m *told) bool { return m.Action == "notify" && len(m.Added) == 1 })
			if m.Items != nil {
				t.Errorf("told with items: %+v", m)
			}
		}
		left.ok(`"action":"unwatch","path":"/data/b"`)
		pass(time.Second)
		if info := right.ok(`"action":"session"`); len(info.Watches) != 0 {
			t.Errorf("after unwatch on the other peer: %+v", info.Watches)
		}
		before := len(right.messages())
		left.push("/data/b", `{}`)
		pass(time.Second)
		if all := right.messages(); len(all) != before {
			t.Errorf("told after unwatch: %+v", all[before:])
		}
		left.leave(vera.EndedLost)
		pass(time.Minute)
		if c.session("one") == nil {
			t.Fatal("ended with a connection")
		}
		right.leave(vera.EndedClean)
		pass(time.Second)
		if c.session("one") != nil {
			t.Error("it lives without a connection")
		}
	})
}

// What each peer says at once of the same path is agreed on in the end.
func TestWatchesOfTwoPeersAgree(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		left := c.at(0, hello("one"))
		left.push("/data/x", `{}`)
		right := c.at(1, again(hello("one")))
		for n := range 20 {
			left.send(`"action":"watch","path":"/data/a","limit":%d`, n)
			right.send(`"action":"watch","path":"/data/a","limit":%d`, n+100)
			if n%3 == 0 {
				right.send(`"action":"unwatch","path":"/data/a"`)
			}
			left.send(`"action":"watch","path":"/data/b","limit":%d`, n)
			if n%4 == 0 {
				pass(10 * time.Millisecond)
			}
		}
		pass(time.Second)
		want := c.session("one").Watches()
		for _, side := range []*client{left, right} {
			info := side.ok(`"action":"session"`)
			if !slices.EqualFunc(info.Watches, want, func(a, b vera.Watched) bool { return a.Path == b.Path && a.Limit == b.Limit }) {
				t.Errorf("watches %+v, the log has %+v", info.Watches, want)
			}
		}
		left.leave(vera.EndedClean)
		right.leave(vera.EndedClean)
	})
}

func TestASessionIsEndedThroughAnotherPeer(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		left, right := c.at(0, hello("one")), c.at(1, again(hello("one")))
		left.push("/data/a", `{}`)
		pass(time.Second)
		right.ok(`"action":"close"`)
		if code := right.closedWith(); code != vera.CloseDone {
			t.Errorf("who closed is told %d", code)
		}
		if code := left.closedWith(); code != vera.CloseEnded {
			t.Errorf("the other one is told %d", code)
		}
		third := c.at(2, again(hello("one")))
		if info := third.ok(`"action":"session"`); info.Resumed || len(*info.Items) != 0 {
			t.Errorf("a new life: %+v", info)
		}
		third.push("/data/a", `{}`)
		if err := c.systems[1].EndSession(t.Context(), sessionID("one")); err != nil {
			t.Error(err)
		}
		if code := third.closedWith(); code != vera.CloseEnded {
			t.Errorf("after an operator ended it: %d", code)
		}
	})
}

// A peer that lives is declared gone: its sessions are attached again, in its
// next incarnation, and nothing ends.
func TestAPeerThatWasDeclaredGoneTakesItsSessionsBack(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		var all []*client
		for _, name := range []string{"one", "two", "three"} {
			h := hello(name)
			h.Grace = 0
			all = append(all, c.at(0, h))
			all[len(all)-1].push("/data/a", `{}`)
		}
		c.cut(0, false, false)
		pass(8 * time.Second) // gone after 2
		if c.length(1, "/data/a") != 3 || len(c.session("one").Attachments()) != 0 {
			t.Fatal("not declared gone, or its items are")
		}
		for _, client := range all {
			if m := client.state(0, "suspended"); m.SafeMs != 0 {
				t.Errorf("safe for %d with a grace of 0", m.SafeMs)
			}
		}
		c.heal()
		for _, client := range all {
			client.state(0, "connected")
			if m := client.ok(`"action":"ping"`); m.Code != vera.OK {
				t.Errorf("%+v", m)
			}
		}
		pass(time.Minute)
		for i := range 3 {
			if n := c.length(i, "/data/a"); n != 3 {
				t.Errorf("%d items on %d", n, i)
			}
		}
		for _, name := range []string{"one", "two", "three"} {
			if s := c.session(name); s == nil || len(s.Attachments()) != 1 || s.Attachments()[0].Incarnation != 2 {
				t.Errorf("%s: %+v", name, s)
			}
		}
		all[0].push("/data/b", `{}`)
		for _, client := range all {
			for _, word := range []string{"suspended", "connected"} {
				n := 0
				for _, m := range client.messages() {
					if m.State == word {
						n++
					}
				}
				if n != 1 {
					t.Errorf("%s was told %d times", word, n)
				}
			}
			client.leave(vera.EndedClean)
		}
	})
}

// A peer that is cut off for too long loses its sessions. Their clients are
// told that, and not that all is well.
func TestASessionThatEndedMeanwhileIsToldSo(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		one := c.at(0, hello("one"))
		one.push("/data/a", `{}`)
		watcher := c.at(0, hello("watcher"))
		watcher.ok(`"action":"watch","path":"/data/a"`)
		pass(time.Second) // a watch is recorded behind its answer
		c.cut(0, false, false)
		pass(30 * time.Second)
		if c.length(1, "/data/a") != 0 {
			t.Fatal("the item of a peer that is cut off for 30 s is there")
		}
		if c.length(0, "/data/a") != 1 {
			t.Fatal("a stale read shows what nobody told this peer")
		}
		late := c.at(0, hello("late"))
		late.ok(`"action":"watch","path":"/data/a"`)
		late.state(0, "suspended") // it has something to lose now
		c.heal()
		for _, client := range []*client{one, watcher} {
			if code := client.closedWith(); code != vera.CloseEnded {
				t.Errorf("closed with %d", code)
			}
			for _, m := range client.messages() {
				if m.State == "connected" {
					t.Error("told connected though the session ended")
				}
			}
		}
		late.state(0, "connected")
		late.leave(vera.EndedClean)
	})
}

// A peer's crash, or its drain, leaves its clients the failover grace.
func TestTheFailoverGraceOfARestart(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		short := hello("one")
		short.Grace = 0
		one := c.at(0, short)
		one.push("/data/a", `{}`)
		long := hello("two")
		long.Grace = 20 * time.Second
		c.at(0, long).push("/data/b", `{}`)
		c.restart(0)
		pass(9500 * time.Millisecond)
		if c.length(1, "/data/a") != 1 {
			t.Fatal("the item went within the failover grace")
		}
		back := c.at(1, again(short))
		pass(5 * time.Second)
		if c.length(1, "/data/a") != 1 || c.length(2, "/data/b") != 1 {
			t.Error("an item went though its client came back, or has a longer grace")
		}
		pass(7 * time.Second)
		if c.length(2, "/data/b") != 0 {
			t.Error("the item of a client that did not come back is there")
		}
		for _, code := range []vera.CloseCode{vera.CloseGoingAway, vera.CloseTryLater} {
			back.Close(code, "")
			pass(9 * time.Second)
			if c.length(0, "/data/a") != 1 {
				t.Fatalf("the item went though the server closed with %d", code)
			}
			back = c.at(2, again(short))
			pass(9 * time.Second)
		}
		back.leave(vera.EndedLost)
		pass(time.Second)
		if c.length(0, "/data/a") != 0 {
			t.Error("lost with no grace, and there")
		}
	})
}
