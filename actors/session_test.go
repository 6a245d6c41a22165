package actors

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// items returns how many items a list has for this peer.
func items(l *memory, path vera.Path) int {
	list, _ := l.machine.List(path)
	return list.Len()
}

func TestReadingCostsTheLogNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		before := l.machine.Applied()
		c := connect(t, y, hello("reader"))
		c.ok(`"action":"get","path":"/data/a"`)
		c.ok(`"action":"session"`)
		c.ok(`"action":"ping"`)
		c.ok(`"action":"unwatch","path":"/data/a"`)
		c.leave(vera.EndedLost)
		synctest.Wait()
		if now := l.machine.Applied(); now != before {
			t.Errorf("the log went on from %d to %d", before, now)
		}
		h := hello("local")
		h.Local = true
		c = connect(t, y, h)
		c.ok(`"action":"watch","path":"/data/a"`)
		synctest.Wait()
		if now := l.machine.Applied(); now != before {
			t.Errorf("a local watch took the log from %d to %d", before, now)
		}
		c.push("/data/b", `{}`)
		synctest.Wait()
		if s := l.machine.Session(h.Session); s == nil || len(s.Watches()) != 1 || s.ItemCount() != 1 {
			t.Errorf("after its first push the log has %+v", s)
		}
	})
}

func TestClosedOnPurposeEndsAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		began := time.Now()
		c.leave(vera.EndedClean)
		synctest.Wait()
		if items(l, "/data/a") != 0 || time.Since(began) != 0 {
			t.Errorf("%d items %v later", items(l, "/data/a"), time.Since(began))
		}
	})
}

func TestLostEndsWhenItsGraceIsOver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		for _, c := range []struct {
			how          vera.Ending
			grace, stays time.Duration
		}{
			{vera.EndedLost, 2 * time.Second, 2 * time.Second},
			{vera.EndedLost, 0, 0},
			{vera.EndedByServer, 2 * time.Second, 10 * time.Second},
			{vera.EndedByServer, 30 * time.Second, 30 * time.Second},
		} {
			h := hello(fmt.Sprint(c))
			h.Grace = c.grace
			one := connect(t, y, h)
			one.push("/data/a", `{}`)
			one.leave(c.how)
			synctest.Wait()
			if c.stays > 0 {
				pass(c.stays - time.Millisecond)
				synctest.Wait()
				if items(l, "/data/a") != 1 {
					t.Errorf("%+v: gone early", c)
				}
				pass(2 * time.Millisecond)
				synctest.Wait()
			}
			if items(l, "/data/a") != 0 {
				t.Errorf("%+v: still there", c)
			}
		}
	})
}

func TestResumedWithinTheGrace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		pushed := c.push("/data/a", `{}`)
		c.ok(`"action":"watch","path":"/data/a"`)
		c.ok(`"action":"watch","path":"/data/b","limit":1,"items":false`)
		if c.ok(`"action":"session"`).Resumed {
			t.Error("a new session says that it was resumed")
		}
		c.leave(vera.EndedLost)
		pass(1900 * time.Millisecond)

		c = connect(t, y, again(hello("one")))
		info := c.ok(`"action":"session"`)
		if !info.Resumed || len(*info.Items) != 1 || (*info.Items)[0].Version != pushed.Version || len(info.Watches) != 2 {
			t.Errorf("resumed: %+v", info)
		}
		synctest.Wait()
		resets := map[string]int{}
		for _, m := range c.messages() {
			if m.Action == "notify" {
				if !m.Reset || m.Items == nil {
					t.Errorf("not a reset: %+v", m)
				}
				resets[m.Path]++
			}
		}
		if resets["/data/a"] != 1 || resets["/data/b"] != 1 {
			t.Errorf("resets: %v", resets)
		}
		pass(time.Minute)
		synctest.Wait()
		if items(l, "/data/a") != 1 {
			t.Error("the item is gone though the session came back")
		}
		c.leave(vera.EndedClean)
		synctest.Wait()
		if items(l, "/data/a") != 0 {
			t.Error("the item is still there")
		}
	})
}

func TestTooLateIsANewLife(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, _ := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		c.ok(`"action":"watch","path":"/data/a"`)
		c.leave(vera.EndedLost)
		pass(2100 * time.Millisecond)
		c = connect(t, y, again(hello("one")))
		info := c.ok(`"action":"session"`)
		if info.Resumed || len(*info.Items) != 0 || len(info.Watches) != 0 {
			t.Errorf("after its end: %+v", info)
		}
		if m := c.push("/data/a", `{}`); len(*m.Items) != 1 {
			t.Errorf("its first push: %+v", m)
		}
	})
}

// A client may connect anew before the old connection is known to be lost, and
// close the old one when it has the new.
func TestTheOldConnectionMayBeClosedOnceTheNewOneCounts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		first := connect(t, y, hello("one"))
		first.push("/data/a", `{}`)
		second := connect(t, y, again(hello("one")))
		first.leave(vera.EndedClean)
		pass(time.Minute)
		if items(l, "/data/a") != 1 {
			t.Fatal("the session ended with its old connection")
		}
		if !second.ok(`"action":"session"`).Resumed {
			t.Error("the second connection of a living session was not told so")
		}
		second.leave(vera.EndedClean)
		synctest.Wait()
		if items(l, "/data/a") != 0 {
			t.Error("the session outlived its last connection, closed on purpose")
		}
	})
}

func TestInDoubtTheGraceHolds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		lost := connect(t, y, hello("one"))
		kept := connect(t, y, again(hello("one")))
		kept.push("/data/a", `{}`)
		lost.leave(vera.EndedLost)
		pass(time.Second)
		kept.leave(vera.EndedClean)
		pass(time.Second - time.Millisecond)
		synctest.Wait()
		if items(l, "/data/a") != 1 {
			t.Fatal("ended while a lost connection was within its grace")
		}
		pass(2 * time.Second)
		synctest.Wait()
		if items(l, "/data/a") != 0 {
			t.Error("still there when the doubt was over")
		}
	})
}

func TestTheLargestGraceCounts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		small := connect(t, y, hello("one"))
		small.push("/data/a", `{}`)
		large := again(hello("one"))
		large.Grace = time.Minute
		second := connect(t, y, large)
		if s := l.machine.Session(large.Session); s.Grace() != time.Minute {
			t.Errorf("the log has a grace of %v when the new connection is let in", s.Grace())
		}
		if got := small.ok(`"action":"session"`).GraceMs; got != 60_000 {
			t.Errorf("graceMs %d", got)
		}
		second.leave(vera.EndedClean)
		small.leave(vera.EndedLost)
		pass(59 * time.Second)
		if items(l, "/data/a") != 1 {
			t.Error("ended before the largest grace was over")
		}
		pass(2 * time.Second)
		synctest.Wait()
		if items(l, "/data/a") != 0 {
			t.Error("still there")
		}
	})
}

func TestCloseEndsTheSessionForAllConnections(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		first := connect(t, y, hello("one"))
		second := connect(t, y, again(hello("one")))
		first.push("/data/a", `{}`)
		first.ok(`"action":"close"`)
		if code := first.closedWith(); code != vera.CloseDone {
			t.Errorf("who asked: %d", code)
		}
		if code := second.closedWith(); code != vera.CloseEnded {
			t.Errorf("the other: %d", code)
		}
		if items(l, "/data/a") != 0 {
			t.Error("the item is still there")
		}
		reader := connect(t, y, hello("reader"))
		reader.ok(`"action":"close"`)
		if code := reader.closedWith(); code != vera.CloseDone {
			t.Errorf("without a life: %d", code)
		}
	})
}

// Whatever is under way when a session ends is answered.
func TestRequestsOfAnEndedSessionAreToldSo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		if err := y.EndSession(t.Context(), sessionID("one")); err != nil {
			t.Fatal(err)
		}
		if code := c.closedWith(); code != vera.CloseEnded {
			t.Errorf("closed with %d", code)
		}

		c = connect(t, y, hello("two"))
		c.push("/data/a", `{}`)
		l.hold(true)
		rids := []string{
			c.send(`"action":"get","path":"/data/a","minIndex":1000`),
			c.send(`"action":"push","path":"/data/a","data":{}`),
			c.send(`"action":"watch","path":"/data/b","since":1000`),
		}
		session := l.machine.Session(sessionID("two"))
		done := make(chan error, 1)
		go func() {
			done <- l.operate(state.Command{Kind: state.End, Session: session.ID(), Life: session.Life(), Reason: vera.Ended})
		}()
		synctest.Wait()
		l.hold(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, rid := range rids {
			if m := c.answer(rid); m.Code != vera.SessionEnded && m.Code != vera.OK {
				t.Errorf("%+v", m)
			}
		}
		if code := c.closedWith(); code != vera.CloseEnded {
			t.Errorf("closed with %d", code)
		}
		if items(l, "/data/a") != 0 {
			t.Error("items are left")
		}
	})
}

// The end of a life may be heard of before its beginning.
func TestALifeThatEndedBeforeItWasKnown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		l.hold(true)
		rid := c.send(`"action":"push","path":"/data/a","data":{}`)
		synctest.Wait()
		end := state.Command{Kind: state.End, Session: sessionID("one"), Life: l.machine.Applied() + 1, Reason: vera.Ended}
		done := make(chan error, 1)
		go func() { done <- l.operate(end) }()
		synctest.Wait()
		l.between = func() { pass(time.Millisecond) }
		l.hold(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if m := c.answer(rid); m.Code != vera.SessionEnded {
			t.Errorf("answered %+v", m)
		}
		if code := c.closedWith(); code != vera.CloseEnded {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestASessionHasOnlySoManyConnections(t *testing.T) {
	y, _ := newSystem(t, func(o *Options) { o.Limits.SessionConnections = 2 })
	first := connect(t, y, hello("one"))
	connect(t, y, again(hello("one")))
	_, err := y.Connect(t.Context(), again(hello("one")), newClient(t))
	if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.TooManyRequests {
		t.Errorf("the third: %v", err)
	}
	first.leave(vera.EndedClean)
	eventually(t, "one may come when one went", func() bool {
		c := newClient(t)
		conn, err := y.Connect(t.Context(), again(hello("one")), c)
		c.conn = conn
		return err == nil
	})
}

// Whether a session lives is asked of the log. Without an answer nobody who
// may have had a life is let in, and whoever gave up waiting leaves nothing.
func TestWithoutALeaderNobodyResumes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		c.leave(vera.EndedLost)
		synctest.Wait()
		l.hold(true)
		began := time.Now()
		_, err := y.Connect(t.Context(), again(hello("one")), newClient(t))
		if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.Unavailable {
			t.Errorf("without a leader: %v", err)
		}
		if waited := time.Since(began); waited != y.limits.Leader {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = y.Connect(ctx, again(hello("one")), newClient(t)); err == nil {
			t.Error("let in without a leader")
		}
		if fresh := connect(t, y, hello("fresh")); !fresh.ok(`"action":"get","path":"/data/a"`).Resumed {
			fresh.leave(vera.EndedClean)
		}
		l.hold(false)
		pass(time.Minute)
		synctest.Wait()
		if n := y.kinds.session.count(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}
