package actors

import (
	"testing"
	"time"

	"vera"
	"vera/raft/state"
)

// beginElsewhere has a session with a connection on two peers begin, with an item and
// a watch, through the one, while the other can put nothing into the log: it
// knows of the life and has no part in it.
func beginElsewhere(c *cluster) (left, right *client, mine told) {
	left = c.at(0, hello("one"))
	right = c.at(1, again(hello("one")))
	c.with(func() { c.peers[1].busy = true })
	mine = left.push("/data/a", `{}`)
	left.ok(`"action":"watch","path":"/data/b","limit":1`)
	pass(time.Second)
	return left, right, mine
}

// What a session holds is told by every peer at whose index it holds it, also
// by one that the session did not begin on and that is not counted yet.
func TestASessionTellsWhatItHoldsThroughAnotherPeer(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		left, right, mine := beginElsewhere(c)
		info := right.ok(`"action":"session"`)
		if info.Index < mine.Version || len(*info.Items) != 1 || (*info.Items)[0].Version != mine.Version {
			t.Errorf("item %d is there at index %d, told is %+v", mine.Version, info.Index, info.Items)
		}
		if len(info.Watches) != 1 || info.Watches[0].Path != "/data/b" || info.Watches[0].Limit != 1 {
			t.Errorf("watches %+v", info.Watches)
		}
		if info.SafeMs != 0 {
			t.Errorf("nothing keeps the item for this peer's sake, promised are %d ms", info.SafeMs)
		}
		c.heal()
		right.wait(0, "the other peer's watch", func(m *told) bool { return m.Action == "notify" && m.Path == "/data/b" && m.Reset })
		left.leave(vera.EndedClean)
		right.leave(vera.EndedClean)
	})
}

// A life that began and ended through another peer, before this one was
// counted, was that of the connections here too: they are told.
func TestALifeThatPassedElsewhereIsOverForAll(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		left, right, _ := beginElsewhere(c)
		waits := right.send(`"action":"push","path":"/data/a","data":{}`)
		left.ok(`"action":"close"`)
		if m := right.answer(waits); m.Code != vera.SessionEnded {
			t.Errorf("a push of the life that is over: %+v", m)
		}
		if code := right.closedWith(); code != vera.CloseEnded {
			t.Errorf("closed with %d", code)
		}
		c.heal()
		next := c.at(1, again(hello("one")))
		next.push("/data/c", `{}`)
		pass(time.Second)
		if n := c.length(2, "/data/a") + c.length(2, "/data/c"); n != 1 {
			t.Errorf("%d items, one of the new life should be there", n)
		}
		next.leave(vera.EndedClean)
	})
}

// What a connection of such a life had asked for begins no life behind it: who
// was told that the session ended does not come back to one that nobody is in.
func TestALifeThatPassedElsewhereLeavesNoneBehind(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		left := c.at(0, hello("one"))
		right := c.at(1, again(hello("one")))
		c.with(func() { c.peers[1].busy = true })
		right.ok(`"action":"watch","path":"/data/b"`) // for which a life is asked for
		left.push("/data/a", `{}`)
		pass(100 * time.Millisecond)
		left.ok(`"action":"close"`)
		c.comesBackToNothing(right)
	})
}

// The same when that life has begun before this peer reads of the other's end.
func TestALifeThatPassedElsewhereIsReadOfLate(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		right := c.at(1, again(hello("one")))
		other := c.at(0, hello("other"))
		between := other.push("/data/a", `{}`).Version
		right.push("/data/b", `{}`)
		y := c.systems[1]
		y.shardOf(sessionID("one")).box.post(&lives{all: []state.SessionChange{
			{Session: sessionID("one"), Life: between, What: state.Over, Reason: vera.Closed},
		}})
		c.comesBackToNothing(right)
		if n := c.length(2, "/data/b"); n != 0 {
			t.Errorf("%d items of nobody", n)
		}
		other.leave(vera.EndedClean)
	})
}

// comesBackToNothing has a client be told that its session ended, and connect
// elsewhere, to a new life.
func (c *cluster) comesBackToNothing(gone *client) {
	c.t.Helper()
	if code := gone.closedWith(); code != vera.CloseEnded {
		c.t.Errorf("closed with %d", code)
	}
	c.heal()
	pass(100 * time.Millisecond)
	next := c.at(2, again(hello("one")))
	if info := next.ok(`"action":"session"`); info.Resumed || len(*info.Items) != 0 {
		c.t.Errorf("whose session ended came back to %+v", info)
	}
	next.leave(vera.EndedClean)
}

// Who came after such a life is not sent away when this peer reads of it late.
func TestALifeThatPassedEarlierIsNotOnes(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		early := c.at(0, hello("one"))
		early.push("/data/a", `{}`)
		life := c.session("one").Life()
		early.ok(`"action":"close"`)
		pass(time.Second)
		late := c.at(1, again(hello("one")))
		y := c.systems[1]
		y.shardOf(sessionID("one")).box.post(&lives{all: []state.SessionChange{
			{Session: sessionID("one"), Life: life, What: state.Opened},
			{Session: sessionID("one"), Life: life, What: state.Over, Reason: vera.Closed},
		}})
		pass(time.Second)
		late.push("/data/a", `{}`)
		if info := late.ok(`"action":"session"`); info.Resumed || len(*info.Items) != 1 {
			t.Errorf("%+v", info)
		}
		late.leave(vera.EndedClean)
	})
}
