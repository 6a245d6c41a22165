package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vera"
)

type numbered struct {
	N int `json:"n"`
}

// pushes begins n pushes, each when the one before is on its way.
func pushes(t *testing.T, c *Client, n int) (results []chan error, handles []*Handle) {
	t.Helper()
	handles = make([]*Handle, n)
	for i := range n {
		result := make(chan error, 1)
		results = append(results, result)
		go func() {
			h, _, err := c.Push(context.Background(), "/data/a", numbered{i})
			handles[i] = h
			result <- err
		}()
		synctest.Wait()
	}
	return results, handles
}

func inOrder(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(`{"n":%d}`, i))
	}
	return all
}

func TestALeadersDeathCostsNoReconnect(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		w.do(func() { w.stuck["a"] = true })
		results, handles := pushes(t, c, 5)
		if got := w.requests("push"); len(got) != 5 || got[0][0] != 'a' {
			t.Fatalf("pushed over %v", got)
		}
		dialled := 0
		w.do(func() { dialled, w.leader = len(w.dialled), "" })
		w.kill("a")
		for i, result := range results {
			if err := <-result; err != nil {
				t.Errorf("push %d: %v", i, err)
			}
		}
		w.do(func() {
			if now := len(w.dialled); now > dialled+2 {
				t.Errorf("%d connections were made before the pushes were answered", now-dialled)
			}
		})
		if got := w.data("/data/a"); !slices.Equal(got, inOrder(5)) {
			t.Errorf("pushed %v", got)
		}
		for i, h := range handles {
			if h.Reason() != "" || i > 0 && h.Version() <= handles[i-1].Version() {
				t.Errorf("item %d has version %d, lost %q", i, h.Version(), h.Reason())
			}
		}
		c.Close()
	})
}

func TestWritesAreDoneOnceAndInOrderWhoeverDies(t *testing.T) {
	for seed := range uint64(20) {
		inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := w.connect(w.options(), "a", "b", "c")
			const n = 60
			results := make(chan error, n)
			for i := range n {
				go func() {
					_, _, err := c.Push(context.Background(), "/data/a", numbered{i})
					results <- err
				}()
				synctest.Wait()
				name := w.names[random.IntN(3)]
				switch random.IntN(6) {
				case 0:
					w.kill(name) // and somebody takes its place at once
					w.do(func() { w.dead[name] = false })
				case 1:
					w.lead(name)
				case 2:
					w.do(func() { w.stuck[name] = true }) // does nothing until it is killed
				case 3:
					w.kill(name)
					w.do(func() { w.dead[name], w.stuck[name] = false, false })
				}
				if random.IntN(3) == 0 {
					pass(time.Duration(random.IntN(500)) * time.Millisecond)
				}
			}
			for _, name := range w.names {
				w.kill(name)
				w.do(func() { w.dead[name], w.stuck[name] = false, false })
			}
			for range n {
				if err := <-results; err != nil {
					t.Fatal(err)
				}
			}
			if got := w.data("/data/a"); !slices.Equal(got, inOrder(n)) {
				t.Errorf("seed %d: pushed %v", seed, got)
			}
			c.Close()
		})
	}
}

func TestUnavailableIsTriedAgain(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a")
		w.do(func() { w.unavailable = 3 })
		h, _, err := c.Push(t.Context(), "/data/a", numbered{0})
		if err != nil || len(w.requests("push")) != 4 || len(w.data("/data/a")) != 1 {
			t.Errorf("%v after %v, the list is %v", err, w.requests("push"), w.data("/data/a"))
		}
		w.do(func() { w.unavailable = 1 })
		_, err = h.Update(t.Context(), numbered{1}, IfMatch("1"))
		if refused, is := errors.AsType[*vera.Error](err); !is || refused.Applied != vera.AppliedUnknown {
			t.Errorf("an update that depends on an etag was tried again: %v", err)
		}
		c.Close()
	})
}

func TestOnlyTheNewestUpdateIsSent(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a")
		h, _, err := c.Push(t.Context(), "/data/a", numbered{-1})
		if err != nil {
			t.Fatal(err)
		}
		w.kill("a")
		results := make(chan error, 10)
		for i := range 10 {
			go func() {
				_, err := h.Update(context.Background(), numbered{i})
				results <- err
			}()
			synctest.Wait()
		}
		w.do(func() { w.dead["a"] = false })
		for range 10 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if got := w.requests("update"); !slices.Equal(got, []string{`a {"n":9}`}) {
			t.Errorf("sent %v", got)
		}
		if err := h.Remove(t.Context()); err != nil || len(w.data("/data/a")) != 0 {
			t.Errorf("removed: %v, left %v", err, w.data("/data/a"))
		}
		if <-h.Lost(); h.Reason() != "removed" {
			t.Errorf("lost: %q", h.Reason())
		}
		if _, err := h.Update(t.Context(), numbered{}); codeOf(err) != vera.NotFound {
			t.Errorf("an update of what was removed: %v", err)
		}
		c.Close()
	})
}

func TestAnItemThatNobodyWaitsForIsRemoved(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a")
		for _, o := range [][]Option{nil, {Once("mine")}} {
			w.do(func() { w.stuck["a"] = true })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, _, err := c.Push(ctx, "/data/a", numbered{1}, o...); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
			w.do(func() { // it is done all the same, late
				w.stuck["a"] = false
				for _, g := range w.guests {
					g.change(w.heard[slices.IndexFunc(w.heard, func(h heard) bool { return h.Action == "push" && g.life.once[h.Once] == 0 })].asked)
				}
			})
			pass(time.Second)
		}
		if left := w.data("/data/a"); len(left) != 1 {
			t.Errorf("left %v: one under the caller's own key should be", left)
		}
		c.Close()
	})
}

func TestReadsAreNotOlderThanOwnWrites(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		_, pushed, err := c.Push(t.Context(), "/data/a", numbered{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "/data/b"); err != nil {
			t.Fatal(err)
		}
		w.do(func() {
			last := w.heard[len(w.heard)-1]
			if last.Action != "get" || last.MinIndex != pushed.Index || last.peer == "a" {
				t.Errorf("%s was asked for %+v: the push was at %d", last.peer, last.asked, pushed.Index)
			}
		})
		c.Close()
	})
}

// TestWritesDoNotStayWithALeaderThatCannotAnswer has a leader stand still, or
// lose the majority, while another one takes over.
func TestWritesDoNotStayWithALeaderThatCannotAnswer(t *testing.T) {
	for _, still := range []bool{true, false} {
		inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
			c := w.connect(w.options(), "a", "b", "c")
			w.do(func() { w.mute["a"], w.stuck["a"] = still, true })
			results, _ := pushes(t, c, 3)
			began := time.Now()
			if !still {
				w.suspend("a", "suspended")
			}
			w.lead("b")
			for i, result := range results {
				if err := <-result; err != nil {
					t.Errorf("push %d: %v", i, err)
				}
			}
			if took := time.Since(began); took > 3*time.Second || !still && took > time.Second {
				t.Errorf("still %v: it took %v", still, took)
			}
			if got := w.data("/data/a"); !slices.Equal(got, inOrder(3)) {
				t.Errorf("still %v: pushed %v", still, got)
			}
			c.Close()
		})
	}
}

func TestAnUpdateIsNotOvertakenByItsNewer(t *testing.T) {
	inWorld(t, []string{"a", "b", "c"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a", "b", "c")
		h, _, err := c.Push(t.Context(), "/data/a", numbered{0})
		if err != nil {
			t.Fatal(err)
		}
		w.do(func() { w.stuck["a"] = true })
		results := make(chan error, 2)
		update := func(n int) {
			_, err := h.Update(context.Background(), numbered{n})
			results <- err
		}
		go update(1)
		synctest.Wait()
		w.suspend("a", "suspended")
		w.lead("b")
		synctest.Wait()
		go update(2)
		pass(4 * time.Second)
		if got := w.requests("update"); len(got) != 1 {
			t.Errorf("while the first may still be done: %v", got)
		}
		w.do(func() { // it is done, late
			w.stuck["a"] = false
			for _, g := range w.guests {
				if g.peer == "a" {
					g.change(w.heard[slices.IndexFunc(w.heard, func(h heard) bool { return h.Action == "update" })].asked)
				}
			}
		})
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if got := w.data("/data/a"); !slices.Equal(got, []string{`{"n":2}`}) {
			t.Errorf("updated to %v", got)
		}
		c.Close()
	})
}

// TestAnUpdateThatIsRefusedTakesNothingBack has the first of two updates that
// are on their way be refused for now, and the second one done.
func TestAnUpdateThatIsRefusedTakesNothingBack(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		c := w.connect(w.options(), "a")
		h, _, err := c.Push(t.Context(), "/data/a", numbered{0})
		if err != nil {
			t.Fatal(err)
		}
		w.do(func() { w.stuck["a"] = true })
		results := make(chan error, 2)
		for i := range 2 {
			go func() {
				_, err := h.Update(context.Background(), numbered{i + 1})
				results <- err
			}()
			synctest.Wait()
		}
		w.do(func() {
			g, sent := w.guests[0], w.heard[len(w.heard)-2:]
			g.answer(sent[0].asked, answer{"code": "Unavailable", "message": "no leader", "applied": false})
			g.change(sent[1].asked)
			w.stuck["a"] = false
		})
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		pass(time.Second)
		if got := w.data("/data/a"); !slices.Equal(got, []string{`{"n":2}`}) || len(w.requests("update")) != 2 {
			t.Errorf("updated to %v by %v", got, w.requests("update"))
		}
		c.Close()
	})
}
