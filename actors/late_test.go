package actors

import (
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
