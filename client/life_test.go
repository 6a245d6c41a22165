package client

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vera"
)

// TestANewLifePushesNothingAgain has the session end in both ways that a
// client can learn of: it is told, or finds out when it is back.
func TestANewLifePushesNothingAgain(t *testing.T) {
	for _, told := range []bool{true, false} {
		inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
			c := w.connect(w.options(), "a", "b", "c")
			h, _, err := c.Push(t.Context(), "/data/a", numbered{1})
			if err != nil {
				t.Fatal(err)
			}
			watched := collect(c, "/data/a")
			w.do(func() { w.stuck["a"] = true })
			result, _ := pushes(t, c, 1)
			w.do(func() {
				if !told { // it is cut off, and its grace passes
					for _, name := range w.names {
						w.dead[name] = true
					}
					for _, g := range w.guests {
						g.cut()
					}
				}
			})
			synctest.Wait()
			w.do(func() {
				for cookie := range w.lives {
					w.end(cookie)
				}
				clear(w.stuck)
			})
			pass(time.Second)
			w.do(func() { clear(w.dead) })
			err = <-result[0]
			refused, is := errors.AsType[*vera.Error](err)
			if !errors.Is(err, ErrSessionEnded) || !is || refused.Code != vera.SessionEnded || refused.Applied != vera.AppliedUnknown {
				t.Errorf("told %v: what was under way: %v", told, err)
			}
			<-h.Lost()
			if want := map[bool]string{true: "ended", false: "expired"}[told]; h.Reason() != want {
				t.Errorf("told %v: lost: %q", told, h.Reason())
			}
			if _, err := h.Update(t.Context(), numbered{2}); !errors.Is(err, ErrSessionEnded) {
				t.Errorf("an update of what is lost: %v", err)
			}
			pass(20 * time.Second)
			if left := w.data("/data/a"); len(left) != 0 {
				t.Errorf("told %v: pushed again: %v", told, left)
			}
			if _, _, err := c.Push(t.Context(), "/data/a", numbered{3}); err != nil {
				t.Errorf("told %v: a push in the new life: %v", told, err)
			}
			pass(time.Second)
			watched.is(t, w)
			c.Close()
		})
	}
}

func TestASessionThatHoldsNothingLosesNothing(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		watched := collect(c, "/data/a")
		for _, name := range w.names {
			w.kill(name)
		}
		synctest.Wait() // the client knows
		w.do(func() {
			clear(w.lives)
			clear(w.dead)
		})
		if _, _, err := c.Push(t.Context(), "/data/a", numbered{1}); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		watched.is(t, w)
		c.Close()
	})
}

// TestANewLifeIsSeenBehindALinkThatSaysNothing has a link die without a sign
// while its session ends, and another one with a write under way.
func TestANewLifeIsSeenBehindALinkThatSaysNothing(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		h, _, err := c.Push(t.Context(), "/data/a", numbered{1})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		w.do(func() { w.stuck["a"] = true })
		results, _ := pushes(t, c, 1)
		ears := ""
		c.call(func() { ears = c.ears.id() })
		w.do(func() {
			w.mute[ears], w.dead[ears] = true, true
			clear(w.lives)
		})
		w.kill("a")
		if err := <-results[0]; !errors.Is(err, ErrSessionEnded) {
			t.Errorf("what was under way: %v", err)
		}
		pass(20 * time.Second)
		if left := w.data("/data/a"); len(left) != 0 {
			t.Errorf("pushed in the new life: %v", left)
		}
		c.Close()
	})
}
