package raft

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// What is lost without a word is found out by what was handed over later and
// came: at once, however busy the log is otherwise.
func TestWhatIsOvertakenIsHandedOverAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		lose := func(lost bool) {
			g.mu.Lock()
			g.fate = func() int { return 1 }
			if lost {
				g.fate = func() int { return 0 }
			}
			g.mu.Unlock()
		}
		lose(true)
		told, passed := false, false
		g.propose([]state.Command{push(id, life, "/data/x", 1)}, func(_ []state.Reply, err error) { told = err == nil })
		synctest.Wait()
		lose(false)
		g.announce()
		synctest.Wait()
		if !told {
			t.Error("a push that a mark overtook is not repeated")
		}
		lose(true)
		g.barrier(func(_, _ uint64, err error) { passed = err == nil })
		synctest.Wait()
		lose(false)
		g.propose([]state.Command{push(id, life, "/data/x", 2)}, func([]state.Reply, error) {})
		synctest.Wait()
		if !passed {
			t.Error("a mark that a push overtook is not repeated")
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if n := len(g.given); n > 9 {
			t.Errorf("%d entries were handed over", n)
		}
	})
}

// TestFailedHandOverIsTriedAgainAfterAPauseThatGrows, and at once when another
// leads.
func TestFailedHandOverIsTriedAgainAfterAPauseThatGrows(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var tries []time.Duration
		began := time.Now()
		starts := uint64(0)
		p := newProposer(7, 5*time.Second, func() (uint64, error) { starts++; return starts, nil }, func([][]byte) error {
			tries = append(tries, time.Since(began))
			return errors.New("no")
		})
		stop := make(chan struct{})
		go p.run(stop)
		p.route(true)
		advance(3 * time.Second)
		synctest.Wait()
		for i, want := range []time.Duration{0, 20, 60, 140, 300, 620, 1120, 1620} {
			if i >= len(tries) || tries[i] != want*time.Millisecond {
				t.Fatalf("tried after %v", tries)
			}
		}
		n := len(tries)
		p.route(false)
		advance(3 * time.Second)
		synctest.Wait()
		if len(tries) != n {
			t.Errorf("tried %d times though nobody leads", len(tries)-n)
		}
		began, tries = time.Now(), nil
		p.route(true)
		advance(30 * time.Millisecond)
		synctest.Wait()
		if len(tries) != 2 || tries[0] != 0 || tries[1] != 20*time.Millisecond {
			t.Errorf("tried after %v when another leads", tries)
		}
		close(stop)
		p.close()
		synctest.Wait()
	})
}

// TestStateOfAnotherHoldsOutcomesButNoAnswers: what the state that was installed
// holds is told as unknown, and only once the rest of its proposal is known;
// what it lacks is handed over again.
func TestStateOfAnotherHoldsOutcomesButNoAnswers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := trio(t, &bytes.Buffer{})
		c, other := s.peers[0], s.peers[1]
		id, life := c.session("one")
		var replies []state.Reply
		var told error
		count := 0
		c.propose([]state.Command{push(id, life, "/data/x", 1), push(id, life, "/data/x", 2), push(id, life, "/data/x", 3)}, func(r []state.Reply, err error) {
			replies, told = r, err
			count++
		})
		synctest.Wait()
		s.commit(2)
		c.apply(1)     // it learns of the first itself,
		other.apply(2) // of the second from the other's state,
		s.mu.Lock()
		s.given = nil // and the third was lost with its leader
		s.mu.Unlock()
		missed, reached := c.fsm.feed.Index(), false
		c.fsm.waiters.add(other.fsm.machine.Applied(), c.fsm.machine.Applied, func() { reached = true })
		c.install(other)
		synctest.Wait()
		if !reached {
			t.Error("who waited for an index was not told")
		}
		if count != 0 {
			t.Fatal("told before all is known")
		}
		if n, gone := c.fsm.feed.Read(missed-1, make([]state.Output, 9)); n != 0 || !gone {
			t.Error("the feed does not say that something was missed")
		}
		s.heal()
		if count != 1 || applied(t, told) != vera.AppliedUnknown {
			t.Fatalf("told %d times: %v", count, told)
		}
		if replies[0].Code != vera.OK || replies[1].Code != "" || replies[2].Code != vera.OK {
			t.Errorf("%+v", replies)
		}
		if l, _ := c.fsm.machine.List("/data/x"); l.Len() != 3 {
			t.Errorf("%d items", l.Len())
		}
	})
}

// TestContactIsNoLaterThanTheTruth: a copy that is committed late proves no
// more than the first one did.
func TestContactIsNoLaterThanTheTruth(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		synctest.Wait()
		g.holding(true)
		began := time.Now()
		g.barrier(func(uint64, uint64, error) {})
		synctest.Wait()
		advance(time.Second)
		g.route(true) // handed over again, while the first copy is on its way
		synctest.Wait()
		g.mu.Lock()
		g.log = g.log[:1]
		g.mu.Unlock()
		g.holding(false)
		synctest.Wait()
		if got := g.lastContact(); !got.Equal(began) {
			t.Errorf("in touch %v after what was committed had been handed over", got.Sub(began))
		}
		g.announce()
		synctest.Wait()
		if got := g.lastContact(); !got.Equal(time.Now()) {
			t.Errorf("in touch %v ago", time.Since(got))
		}
	})
}

// TestWhatIsGivenUpAfterAPartWasCoveredIsUnknown, though the rest of it was
// never handed over.
func TestWhatIsGivenUpAfterAPartWasCoveredIsUnknown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := trio(t, &bytes.Buffer{})
		c, other := s.peers[0], s.peers[1]
		id, life := c.session("one")
		pushes := make([]state.Command, batchesOpen*batchEntries+10) // more than may be under way
		for i := range pushes {
			pushes[i] = push(id, life, "/data/x", i)
		}
		var told error
		c.propose(pushes, func(_ []state.Reply, err error) { told = err })
		synctest.Wait()
		s.commit(len(pushes))
		other.apply(len(pushes))
		c.route(false)
		c.install(other)
		advance(6 * time.Second)
		synctest.Wait()
		if applied(t, told) != vera.AppliedUnknown {
			t.Errorf("%v", told)
		}
	})
}

// TestMarkBehindTheOwnEndProvesNothing: the leader has begun to count then.
func TestMarkBehindTheOwnEndProvesNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		synctest.Wait()
		g.holding(true)
		advance(time.Second)
		first := time.Now()
		for range 2 {
			g.announce()
			synctest.Wait()
			advance(time.Second)
		}
		g.mu.Lock()
		marks := g.log
		g.mu.Unlock()
		seenAt := func(i int, index uint64) seen {
			m, err := parseMark(marks[i])
			if err != nil {
				t.Fatal(err)
			}
			return seen{m.incarnation, m.number, index, 1}
		}
		g.answer(&own{marks: []seen{seenAt(0, 10), seenAt(1, 12)}, gone: 1, since: 11})
		if got := g.lastContact(); !got.Equal(first) {
			t.Errorf("in touch %v after the mark before the end", got.Sub(first))
		}
	})
}
