package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"

	"pgregory.net/rapid"
)

func TestPromisesCountFromTheSending(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s safety
		var until time.Duration
		if s.holds(0) {
			t.Fatal("safe before anything was promised")
		}
		for range rapid.IntRange(1, 20).Draw(t, "pings") {
			sent := time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "sent"))
			safe := time.Duration(rapid.Int64Range(0, 1e10).Draw(t, "safe"))
			s.cover(sent, safe)
			if safe > 0 {
				until = max(until, sent+safe)
			}
			if s.until != until {
				t.Fatalf("until %v, want %v", s.until, until)
			}
			if until > 0 && (s.holds(until-leastMargin) || !s.holds(s.end()-1) || s.holds(s.end()) || until-s.end() < s.safe/10) {
				t.Fatalf("promised %v until %v, leads until %v", s.safe, s.until, s.end())
			}
		}
	})
}

// election is one that has been told to be the head, on a clock that the test
// owns.
func election(clock *atomic.Int64) *Election {
	e := &Election{fence: 7, now: func() time.Duration { return time.Duration(clock.Load()) }, done: make(chan struct{}), turned: make(chan struct{})}
	e.lead()
	return e
}

// TestTheClockIsAskedWhetherOrNotATimerRan moves the clock while no timer can
// run: as for a process that was stopped, or a machine that slept.
func TestTheClockIsAskedWhetherOrNotATimerRan(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var clock atomic.Int64
		clock.Store(int64(time.Hour))
		e := election(&clock)
		if e.State() != ElectionWaiting || e.Until() != 0 {
			t.Errorf("without any promise: %s", e.State())
		}
		e.cover(time.Hour, 2*time.Second)
		ctx, err := e.Leader(t.Context())
		if err != nil || ctx.Err() != nil || e.State() != ElectionElected || e.Until() != 1800*time.Millisecond {
			t.Fatalf("%v, %s for %v", err, e.State(), e.Until())
		}
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		clock.Add(int64(1800*time.Millisecond - 1))
		if ctx.Err() != nil {
			t.Error("it ended too early")
		}
		clock.Add(1)
		if ctx.Err() == nil || !errors.Is(context.Cause(ctx), ErrDoubt) || e.State() != ElectionLost || e.Until() != 0 {
			t.Errorf("1.8 s after a promise of 2 s: %v, %v, %s", ctx.Err(), context.Cause(ctx), e.State())
		}
		if <-child.Done(); !errors.Is(context.Cause(child), ErrDoubt) {
			t.Errorf("the child's cause: %v", context.Cause(child))
		}
		// A ping that comes too late gives a new leadership, not the old one back.
		e.cover(time.Duration(clock.Load()), 2*time.Second)
		again, err := e.Leader(t.Context())
		if err != nil || again.Err() != nil || ctx.Err() == nil || e.State() != ElectionElected {
			t.Errorf("later: %v, %s", err, e.State())
		}
		// Nor does one that comes late without anybody having looked.
		clock.Add(int64(10 * time.Second))
		e.cover(time.Duration(clock.Load()), 2*time.Second)
		if again.Err() == nil {
			t.Error("a leadership outlived what it was promised")
		}
		e.end(ErrResigned)
		if _, err := e.Leader(t.Context()); !errors.Is(err, ErrResigned) || e.State() != ElectionLost {
			t.Errorf("resigned: %v, %s", err, e.State())
		}
	})
}

func TestATimerEndsALeadershipInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		began := time.Now()
		e := election(new(atomic.Int64))
		e.now = func() time.Duration { return time.Hour + time.Since(began) }
		e.cover(time.Hour, 2*time.Second)
		ctx, err := e.Leader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if took := time.Since(began); took != 1800*time.Millisecond {
			t.Errorf("ended after %v", took)
		}
	})
}

// elect connects a client that waits to lead.
func (w *world) elect(o Options) (*Client, *Election) {
	w.t.Helper()
	c := w.connect(o, w.names...)
	e, err := c.Elect(w.t.Context(), "/data/lead", struct{}{})
	if err != nil {
		w.t.Fatal(err)
	}
	return c, e
}

func TestTheHeadLeadsAndTheNextFollows(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		first, one := w.elect(w.options())
		second, two := w.elect(w.options())
		ctx, err := one.Leader(t.Context())
		if err != nil || one.State() != ElectionElected || two.State() != ElectionWaiting || one.Fence() >= two.Fence() {
			t.Fatalf("%v, %s and %s", err, one.State(), two.State())
		}
		pass(time.Minute)
		if ctx.Err() != nil {
			t.Errorf("it did not last: %v", context.Cause(ctx))
		}
		// A leader of the cluster dies, then the others one by one: nobody stops leading.
		for _, name := range w.names {
			w.kill(name)
			pass(time.Second)
			w.do(func() { w.dead[name] = false })
			w.lead(name)
			pass(5 * time.Second)
		}
		if ctx.Err() != nil {
			t.Errorf("a peer's death ended it: %v", context.Cause(ctx))
		}
		if err := one.Resign(t.Context()); err != nil {
			t.Error(err)
		}
		if <-one.Done(); ctx.Err() == nil || !errors.Is(context.Cause(ctx), ErrResigned) || one.State() != ElectionLost {
			t.Errorf("resigned: %v, %s", context.Cause(ctx), one.State())
		}
		if _, err := two.Leader(t.Context()); err != nil || two.State() != ElectionElected {
			t.Errorf("the next: %v, %s", err, two.State())
		}
		first.Close()
		second.Close()
		if two.State() != ElectionLost || !errors.Is(two.Err(), ErrClosed) {
			t.Errorf("closed: %s, %v", two.State(), two.Err())
		}
	})
}

func TestALeaderThatIsCutOffStopsBeforeItsItemCanBeGone(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c, e := w.elect(w.options())
		ctx, err := e.Leader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		w.do(func() {
			for _, name := range w.names {
				w.mute[name] = true
			}
		})
		last := time.Now() // no ping that is sent later is answered
		<-ctx.Done()
		if took := time.Since(last); took > 1800*time.Millisecond || took < time.Second || !errors.Is(context.Cause(ctx), ErrDoubt) {
			t.Errorf("stopped after %v: %v", took, context.Cause(ctx))
		}
		if e.State() != ElectionLost {
			t.Errorf("cut off: %s", e.State())
		}
		w.do(func() {
			clear(w.mute)
			for _, g := range w.guests {
				g.cut()
			}
		})
		fence := e.Fence()
		if again, err := e.Leader(t.Context()); err != nil || again.Err() != nil || e.Fence() != fence || ctx.Err() == nil {
			t.Errorf("back with the item: %v, %s", err, e.State())
		}
		c.Close()
	})
}

func TestALateAnswerPromisesNoMore(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		w.do(func() { w.lag = 700 * time.Millisecond })
		c, e := w.elect(w.options())
		ctx, err := e.Leader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pass(10*time.Second + 123*time.Millisecond)
		var promised time.Time
		w.do(func() { w.mute["a"], promised = true, w.promised })
		<-ctx.Done()
		if stopped := time.Since(promised); stopped > 1800*time.Millisecond || stopped < time.Second {
			t.Errorf("stopped %v after a ping came that was promised 2s", stopped)
		}
		w.do(func() { w.mute["a"] = false })
		c.Close()
	})
}

func TestDoubtIsToldBeforeTheEnd(t *testing.T) {
	inWorld(t, []string{"a", "b"}, func(t *testing.T, w *world) {
		c, e := w.elect(w.options())
		if _, err := e.Leader(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range w.names {
			w.kill(name)
		}
		synctest.Wait()
		if e.State() != ElectionSuspended || e.Until() <= 0 {
			t.Errorf("cut off just now: %s for %v", e.State(), e.Until())
		}
		pass(2 * time.Second)
		if e.State() != ElectionLost {
			t.Errorf("cut off: %s", e.State())
		}
		w.do(func() { // the session is over when it comes back
			for cookie := range w.lives {
				w.end(cookie)
			}
			clear(w.dead)
		})
		if _, err := e.Leader(t.Context()); !errors.Is(err, ErrSessionEnded) {
			t.Errorf("back without the item: %v", err)
		}
		if <-e.Done(); e.Handle().Reason() != "expired" || len(w.data("/data/lead")) != 0 {
			t.Errorf("lost: %q, pushed again: %v", e.Handle().Reason(), w.data("/data/lead"))
		}
		c.Close()
	})
}

func TestAPingThatWasNotAfterTheItemPromisesNothing(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c, e := w.elect(w.options())
		c.call(func() {
			late := &Election{client: c, handle: e.handle, fence: e.fence + 100, now: c.now, done: make(chan struct{}), turned: make(chan struct{})}
			late.lead()
			c.elections[late] = true
			c.cover(c.now(), time.Minute, late.fence-1)
			if late.State() != ElectionWaiting {
				t.Errorf("%s by a ping at an earlier index", late.State())
			}
			c.cover(c.now(), time.Minute, late.fence)
			if late.State() != ElectionElected {
				t.Errorf("%s by a ping at its index", late.State())
			}
			delete(c.elections, late)
			late.end(ErrResigned)
		})
		c.Close()
	})
}

func TestElectionsNeedAGrace(t *testing.T) {
	for _, grace := range []time.Duration{NoGrace, time.Millisecond, leastMargin} {
		inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
			o := w.options()
			o.Grace = grace
			c := w.connect(o, "a")
			if _, err := c.Elect(t.Context(), "/data/lead", struct{}{}); codeOf(err) != vera.InvalidParameter || len(w.data("/data/lead")) != 0 {
				t.Errorf("a grace of %v: %v", grace, err)
			}
			c.Close()
		})
	}
}

// TestRemovingTheItemEndsItsLeadershipFirst takes the two ways to give an item
// up; its removal is never answered.
func TestRemovingTheItemEndsItsLeadershipFirst(t *testing.T) {
	for name, giveUp := range map[string]func(context.Context, *Election) error{
		"removed":  func(ctx context.Context, e *Election) error { return e.Handle().Remove(ctx) },
		"resigned": func(ctx context.Context, e *Election) error { return e.Resign(ctx) },
	} {
		inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
			c, e := w.elect(w.options())
			leading, err := e.Leader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.do(func() { w.stuck["a"] = true })
			over, cancel := context.WithCancel(t.Context())
			cancel() // who gives up at his end has no context any more
			if err := giveUp(over, e); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			if leading.Err() == nil || !errors.Is(e.Err(), ErrResigned) {
				t.Errorf("%s: leads: %v, over: %v", name, leading.Err(), e.Err())
			}
			synctest.Wait()
			if got := w.requests("remove"); len(got) != 1 {
				t.Errorf("%s: sent %v", name, got)
			}
			w.do(func() { w.stuck["a"] = false })
			c.Close()
		})
	}
}
