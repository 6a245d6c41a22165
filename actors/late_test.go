package actors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"vera"
)

// A close that waits on a peer that is cut off does not end the life that the
// client begins elsewhere meanwhile.
func TestALateCloseEndsNoLaterLife(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		early := c.at(1, hello("one"))
		c.cut(1, false, false)
		early.ok(`"action":"watch","path":"/data/b"`) // for which a life is asked for
		if m := early.ask(`"action":"close"`); m.Code != vera.Unavailable {
			t.Errorf("closed where nobody hears it: %+v", m)
		}
		early.leave(vera.EndedClean)
		later := c.at(0, again(hello("one")))
		if info := later.ok(`"action":"session"`); info.Resumed {
			t.Errorf("not a new life: %+v", info)
		}
		later.push("/data/a", `{}`)
		c.heal()
		pass(20 * time.Second)
		if n := c.length(2, "/data/a"); n != 1 {
			t.Errorf("%d items of a life that nobody closed", n)
		}
		later.leave(vera.EndedClean)
	})
}

// A peer that is cut off, and still takes a session for its own, lets nobody
// into it before the log has said so: meanwhile the session ended.
func TestNobodyIsLetIntoALifeThatMayBeOver(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		first := c.at(0, hello("one"))
		first.push("/data/a", `{}`)
		c.cut(0, false, false)
		second := c.at(1, again(hello("one")))
		second.ok(`"action":"close"`)
		third := newClient(t)
		if err := third.connect(c.systems[0], again(hello("one"))); err == nil {
			t.Errorf("let in: %+v", third.ok(`"action":"session"`))
			third.leave(vera.EndedClean)
		}
		c.heal()
		pass(5 * time.Second)
		first.closedWith()
		fourth := c.at(0, again(hello("one")))
		if info := fourth.ok(`"action":"session"`); info.Resumed {
			t.Errorf("an ended session goes on: %+v", info)
		}
		fourth.leave(vera.EndedClean)
	})
}

// Whoever is let in may close the connection that it had elsewhere, also when
// the peer that lets it in was taken for gone.
func TestWhoeverIsLetInIsAttached(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		stale := c.at(0, hello("one"))
		stale.push("/data/a", `{}`)
		elsewhere := c.at(1, again(hello("one")))
		c.cut(0, false, false)
		pass(clusterGone + time.Second)
		done := make(chan *client)
		go func() { done <- c.at(0, again(hello("one"))) }()
		pass(time.Second)
		select {
		case <-done:
			t.Fatal("let in where the log is out of reach")
		default:
		}
		c.heal()
		fresh := <-done
		elsewhere.leave(vera.EndedClean)
		stale.leave(vera.EndedClean)
		pass(20 * time.Second)
		if n := c.length(2, "/data/a"); n != 1 {
			t.Errorf("%d items of a session with a connection", n)
		}
		fresh.leave(vera.EndedClean)
	})
}

// What a session asks for on the peer that it moved to holds, though the peer
// where it was before hands over late what it was asked: of a list that was
// watched there with other options, or no more, or that is watched no more now.
func TestALateWatchGivesWayToAYoungerOne(t *testing.T) {
	for name, away := range map[string]time.Duration{"cut off for a moment": time.Second, "declared gone": clusterGone + time.Second} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) { watchLate(t, c, away) })
		})
	}
}

func watchLate(t *testing.T, c *cluster, away time.Duration) {
	early := c.at(0, hello("one"))
	for _, list := range []string{"a", "b", "c", "e"} {
		early.ok(`"action":"watch","path":"/data/%s","limit":3`, list)
	}
	pass(time.Second) // a watch is recorded behind its answer
	c.cut(0, false, false)
	early.ok(`"action":"watch","path":"/data/a","limit":1`)
	early.ok(`"action":"unwatch","path":"/data/b"`)
	early.ok(`"action":"watch","path":"/data/c","limit":1`)
	early.ok(`"action":"watch","path":"/data/d","limit":1`)
	early.ok(`"action":"watch","path":"/data/e","limit":1`)
	early.ok(`"action":"watch","path":"/data/f","limit":1`)
	pass(away)
	later := c.at(1, again(hello("one")))
	later.ok(`"action":"watch","path":"/data/a","limit":2`)
	later.ok(`"action":"watch","path":"/data/b","limit":2`)
	later.ok(`"action":"unwatch","path":"/data/c"`)
	later.ok(`"action":"unwatch","path":"/data/d"`)
	later.ok(`"action":"watch","path":"/data/e","limit":3`) // as it is there
	pass(time.Second)
	c.heal()
	pass(5 * time.Second)
	want := []vera.Watched{{Path: "/data/a", Limit: 2, Items: true}, {Path: "/data/b", Limit: 2, Items: true}, {Path: "/data/e", Limit: 3, Items: true}, {Path: "/data/f", Limit: 1, Items: true}}
	if has := c.session("one").Watches(); !slices.Equal(has, want) {
		t.Errorf("it watches %+v", has)
	}
	for i, client := range []*client{early, later} {
		limits := ""
		for _, w := range client.ok(`"action":"session"`).Watches {
			limits += fmt.Sprint(w.Path, " ", w.Limit, " ")
		}
		if limits != "/data/a 2 /data/b 2 /data/e 3 /data/f 1 " {
			t.Errorf("connection %d is told of %s", i, limits)
		}
	}
	// Both know of each other now: whoever asks last is heard.
	early.ok(`"action":"watch","path":"/data/a","limit":1`)
	early.ok(`"action":"unwatch","path":"/data/b"`)
	pass(time.Second)
	if has := c.session("one").Watches(); has[0].Limit != 1 || has[1].Path != "/data/e" {
		t.Errorf("it watches %+v", has)
	}
	early.leave(vera.EndedLost)
	later.leave(vera.EndedClean)
}

// A peer that was declared gone, and heard of nothing meanwhile, has its
// connections watch what the session asked for elsewhere.
func TestAPeerThatCountsAgainKnowsWhatIsWatched(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		early := c.at(0, hello("one"))
		early.ok(`"action":"watch","path":"/data/a","limit":1`)
		early.ok(`"action":"watch","path":"/data/b","limit":1`)
		pass(time.Second)
		c.cut(0, false, false)
		pass(clusterGone + time.Second)
		later := c.at(1, again(hello("one")))
		later.ok(`"action":"watch","path":"/data/a","limit":2`)
		later.ok(`"action":"unwatch","path":"/data/b"`)
		pass(time.Second)
		c.heal()
		pass(5 * time.Second)
		if has := early.ok(`"action":"session"`).Watches; len(has) != 1 || has[0].Limit != 2 {
			t.Errorf("it is told that it watches %+v", has)
		}
		later.push("/data/a", `{}`)
		later.push("/data/a", `{}`)
		later.push("/data/b", `{}`)
		early.wait(0, "the second item", func(m *told) bool { return m.Path == "/data/a" && m.Items != nil && len(*m.Items) == 2 })
		for _, m := range early.messages() {
			if m.Path == "/data/b" && len(m.Added) > 0 {
				t.Errorf("told of what it watches no more: %+v", m)
			}
		}
		early.leave(vera.EndedLost)
		later.leave(vera.EndedClean)
	})
}

// The same of a session that the log did not know when it moved.
func TestALateWatchGivesWayInALifeThatBeganElsewhere(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		pass(time.Second)
		c.cut(0, false, false)
		early := c.at(0, hello("one"))
		early.ok(`"action":"watch","path":"/data/a","limit":1`)
		early.ok(`"action":"watch","path":"/data/b","limit":1`)
		pass(time.Second)
		later := c.at(1, again(hello("one")))
		later.ok(`"action":"unwatch","path":"/data/b"`)
		later.ok(`"action":"watch","path":"/data/a","limit":2`)
		pass(time.Second)
		c.heal()
		pass(5 * time.Second)
		if has := c.session("one").Watches(); len(has) != 1 || has[0].Limit != 2 {
			t.Errorf("it watches %+v", has)
		}
		early.leave(vera.EndedLost)
		later.leave(vera.EndedClean)
	})
}
