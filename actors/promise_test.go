package actors

import (
	"testing"
	"time"

	"vera"
)

// A client stands on the grace of one connection and closes it on purpose; the
// other one, whose grace is short, is lost.
func TestAGraceIsLeftToTheOtherPeers(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		long, short := hello("one"), again(hello("one"))
		long.Grace, short.Grace = 8*time.Second, 0
		left := c.at(0, long)
		left.push("/data/a", `{}`)
		right := c.at(1, short)
		if m := left.ok(`"action":"ping"`); m.SafeMs < 7500 {
			t.Fatalf("safe for %d", m.SafeMs)
		}
		left.leave(vera.EndedClean)
		pass(time.Second)
		right.leave(vera.EndedLost)
		pass(6 * time.Second)
		if c.session("one") == nil {
			t.Error("it ended 7 s after it was told to be safe for 8")
		}
		pass(3 * time.Second)
		if c.session("one") != nil {
			t.Error("it does not end")
		}
	})
}

// A peer that was declared gone is back in touch, but not yet able to say that
// its sessions live: it promises nothing, since they are about to end.
func TestNothingIsPromisedBeforeThePeerCountsAgain(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		h := hello("one")
		h.Grace = 8 * time.Second
		one := c.at(0, h)
		one.push("/data/a", `{}`)
		c.cut(0, false, false)
		pass(8 * time.Second) // gone after 2, ends after 12
		c.heal()
		c.with(func() { c.peers[0].busy = true })
		pass(2 * time.Second)
		if n := one.ok(`"action":"ping"`).SafeMs; n != 0 {
			t.Errorf("safe for %d, and it ends in 2 s", n)
		}
		if n := c.systems[0].Status(); n.Suspended {
			t.Fatal("not in touch: this shows nothing")
		}
		for _, m := range one.messages() {
			if m.State == "connected" {
				t.Error("told connected, and it is about to end")
			}
		}
		c.heal()
		one.state(0, "connected")
		if n := one.ok(`"action":"ping"`).SafeMs; n < 7500 {
			t.Errorf("safe for %d when it counts again", n)
		}
		one.leave(vera.EndedClean)
	})
}

// GET /session at a peer that does not hear of what is lost elsewhere: a grace
// may run already.
func TestAPeerElsewherePromisesWhatIsLeft(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		h := hello("one")
		h.Grace = 5 * time.Second
		one := c.at(1, h)
		one.push("/data/a", `{}`)
		pass(time.Second)
		c.cut(0, false, true)
		one.leave(vera.EndedLost)
		left := time.Now().Add(h.Grace)
		for range 8 {
			pass(600 * time.Millisecond)
			info, err := c.systems[0].Session(t.Context(), h)
			if err != nil || len(info.Items) != 1 {
				t.Fatalf("%+v, %v", info, err)
			}
			if until := time.Now().Add(info.Safe); until.After(left) {
				t.Errorf("safe for %v, and it ends in %v", info.Safe, time.Until(left))
			}
		}
		pass(time.Second)
		if c.session("one") != nil {
			t.Error("it does not end")
		}
	})
}
