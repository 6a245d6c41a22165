package socket

import (
	"testing"
	"testing/synctest"
	"time"

	gobwas "github.com/gobwas/ws"

	"vera"
	"vera/test/bubble"
)

// late is how late the clock may be.
const late = 25 * time.Millisecond

// inTime runs a test in fake time on connections in memory.
func inTime(t *testing.T, test func(t *testing.T, b backend, g *Group)) {
	bubble.Test(t, func(t *testing.T) {
		limits := vera.DefaultLimits(1000)
		g := New(Options{Limits: &limits, Backend: Goroutines()})
		defer g.Close()
		test(t, backends()[2], g)
	})
}

// within fails the test unless the time since start is between want and a
// little more.
func within(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if since := time.Since(start); since < want || since > want+late {
		t.Errorf("%s after %v, want %v", what, since, want)
	}
}

// ending waits, for as long as it takes, for the connection to end.
func (e *echo) ending(t *testing.T, want vera.Ending) {
	t.Helper()
	if how := <-e.ended; how != want {
		t.Errorf("ended %d, want %d", how, want)
	}
}

func TestASilentClientIsPingedAndLostAfterTwoHeartbeats(t *testing.T) {
	for _, heartbeat := range []time.Duration{250 * time.Millisecond, time.Second, 10 * time.Second, 7*time.Minute + 3*time.Millisecond} {
		inTime(t, func(t *testing.T, b backend, g *Group) {
			c, e := start(t, b, g, heartbeat)
			began := time.Now()
			if f := <-c.frames; f.op != gobwas.OpPing || f.payload != "" {
				t.Errorf("%v instead of a ping", f)
			}
			if after := time.Since(began); after < heartbeat*7/8 || after > heartbeat+late {
				t.Errorf("pinged after %v of %v", after, heartbeat)
			}
			e.ending(t, vera.EndedLost)
			within(t, "lost", began, 2*heartbeat)
			if f := <-c.frames; !f.end {
				t.Errorf("%v instead of the end", f)
			}
		})
	}
}

func TestAnyByteIsASignOfLife(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, time.Second)
		for _, piece := range [][]byte{text("x")[:1], text("x")[1:6], text("x")[6:], masked(true, gobwas.OpPong, "")} {
			<-time.After(1900 * time.Millisecond)
			c.send(10, piece)
		}
		began := time.Now()
		e.ending(t, vera.EndedLost)
		within(t, "lost", began, 2*time.Second)
	})
}

func TestAClientThatAnswersPingsStays(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, time.Second)
		pings := 0
		for began := time.Now(); time.Since(began) < 5*time.Minute; {
			if f := <-c.frames; f.op == gobwas.OpPing && !f.end {
				pings++
				c.send(10, masked(true, gobwas.OpPong, f.payload))
			} else {
				t.Fatal(f)
			}
		}
		if pings < 300 || pings > 350 {
			t.Errorf("%d pings in five minutes", pings)
		}
		c.send(10, closeFrame(1000, ""))
		e.ending(t, vera.EndedClean)
	})
}

func TestHalfAFrameIsClosedInTime(t *testing.T) {
	for _, stream := range [][]byte{text("half")[:1], text("half")[:5], text("half")[:8], ping("half")[:7], masked(false, gobwas.OpText, "a fragment, and no more")} {
		inTime(t, func(t *testing.T, b backend, g *Group) {
			c, e := start(t, b, g, time.Minute)
			<-time.After(3 * time.Second)
			c.send(100, text("a whole one"))
			c.send(100, stream)
			began := time.Now()
			e.ending(t, vera.EndedLost)
			within(t, "closed", began, g.Limits.RestFor)
			if code := c.closing(t); code != vera.ClosePolicy {
				t.Errorf("closed with %d", code)
			}
		})
	}
}

func TestAFrameThatDripsIsClosedInTime(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, time.Minute)
		began := time.Now()
		go func() {
			for _, piece := range text("a byte a second is too slow for this") {
				c.send(1, []byte{piece})
				<-time.After(time.Second)
			}
		}()
		e.ending(t, vera.EndedLost)
		within(t, "closed", began, g.Limits.RestFor)
		<-time.After(time.Minute)
	})
}

func TestFragmentsMayTakeTheirTime(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, time.Minute)
		c.send(100, masked(false, gobwas.OpText, "first"))
		for range 10 {
			<-time.After(6 * time.Second)
			c.send(100, masked(false, gobwas.OpContinuation, ", more"))
		}
		c.send(100, masked(true, gobwas.OpContinuation, ", last"))
		synctest.Wait()
		if heard := e.heard(); len(heard) != 1 {
			t.Errorf("received %q", heard)
		}
	})
}

func TestAStuckClientIsClosedWith4001(t *testing.T) {
	for _, reads := range []bool{false, true} {
		inTime(t, func(t *testing.T, b backend, g *Group) {
			codes := make(chan vera.CloseCode, 1)
			g.Ended = func(code vera.CloseCode) { codes <- code }
			theirs, ours := b.pipe(t)
			e := newEcho(g, time.Second)
			e.socket.Start(e, ours, nil, nil, nothing)
			began := time.Now()
			go func() { // it lives, but does not read
				for range 60 {
					_, _ = theirs.Write(masked(true, gobwas.OpPong, ""))
					<-time.After(time.Second)
				}
			}()
			e.send("one", "two")
			e.ending(t, vera.EndedLost)
			within(t, "closed", began, g.Limits.Stuck)
			if reads {
				c := newClient(t, theirs)
				if code := c.closing(t); code != vera.CloseTooSlow {
					t.Errorf("closed with %d", code)
				}
			} else {
				gone(t, g)
				within(t, "gone", began, g.Limits.Stuck+closeWithin)
			}
			if code := <-codes; code != vera.CloseTooSlow {
				t.Errorf("counted as %d", code)
			}
			<-time.After(time.Minute)
		})
	}
}

func TestACloseThatIsNotAnsweredEndsInTwoSeconds(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, time.Minute)
		c.mute = true
		e.send("what Pull still has")
		began := time.Now()
		e.socket.Close(vera.CloseGoingAway, "drain")
		e.ending(t, vera.EndedByServer)
		within(t, "told", began, 0)
		if f := c.nextText(t); f != "what Pull still has" {
			t.Error(f)
		}
		if code := c.closing(t); code != vera.CloseGoingAway {
			t.Errorf("closed with %d", code)
		}
		within(t, "gone", began, closeWithin)
	})
}

// TestAStallGivesTheTimeBack stops the clock's goroutine for a while, as a
// stopped process does.
func TestAStallGivesTheTimeBack(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		const stall = 5 * time.Second
		theirs, ours := b.pipe(t)
		first := g.Socket(time.Second)
		first.Start(stopper{stall}, ours, nil, nil, nothing)
		newClient(t, theirs)
		<-time.After(500 * time.Millisecond)
		_, e := start(t, b, g, time.Second)
		began := time.Now()
		e.ending(t, vera.EndedLost)
		if since := time.Since(began); since < stall+2*time.Second-stalled-late || since > stall+2*time.Second+late {
			t.Errorf("lost after %v of silence, of which %v did not count", since, stall)
		}
	})
}

// stopper is a connection that stops who tells it that it ended.
type stopper struct{ d time.Duration }

func (stopper) Receive([]byte) bool                 { return true }
func (stopper) Pull(batch [][]byte, _ int) [][]byte { return batch }
func (s stopper) Closed(vera.Ending)                { <-time.After(s.d) }

func TestPingsSpread(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		const n, heartbeat = 200, 8 * time.Second
		began := time.Now()
		pinged := make(chan time.Duration, n)
		for range n {
			c, _ := start(t, b, g, heartbeat)
			go func() {
				<-c.frames
				pinged <- time.Since(began)
			}()
		}
		tenths := map[time.Duration]int{}
		for range n {
			at := <-pinged
			if at < heartbeat*7/8 || at > heartbeat+late {
				t.Errorf("pinged after %v", at)
			}
			tenths[at.Truncate(heartbeat/80)]++
		}
		for at, count := range tenths {
			if count > n/8 {
				t.Errorf("%d of %d pings in the %v from %v on", count, n, heartbeat/80, at)
			}
		}
	})
}

func TestDrainIsEven(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		const n, over = 50, 10 * time.Second
		began := time.Now()
		var when []time.Duration
		for range n {
			c, _ := start(t, b, g, time.Minute)
			go func() {
				for f := range c.frames {
					if f.op == gobwas.OpClose && f.code() == vera.CloseGoingAway {
						when = append(when, time.Since(began))
						c.send(100, closeFrame(1001, ""))
						return
					}
				}
			}()
		}
		g.Drain(t.Context(), over, vera.CloseGoingAway, "drain")
		within(t, "drained", began, over*(n-1)/n)
		for i, at := range when {
			if due := over * time.Duration(i) / n; at < due-late || at > due+late {
				t.Errorf("socket %d was sent away at %v, want %v", i, at, due)
			}
		}
		if len(when) != n {
			t.Errorf("%d of %d were sent away", len(when), n)
		}
	})
}

func TestASingleSocketIsSentAwayAtOnce(t *testing.T) {
	inTime(t, func(t *testing.T, b backend, g *Group) {
		began := time.Now()
		c, _ := start(t, b, g, time.Minute)
		go func() {
			for f := range c.frames {
				if f.op == gobwas.OpClose {
					c.send(100, closeFrame(1001, ""))
					return
				}
			}
		}()
		g.Drain(t.Context(), 10*time.Second, vera.CloseGoingAway, "drain")
		within(t, "drained", began, 0)
	})
}
