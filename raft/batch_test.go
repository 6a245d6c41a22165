package raft

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// entries returns the batches that were handed over since a place, and how many marks.
func (g *ground) entries(t *testing.T, from int) (batches []state.Batch, marks int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, raw := range g.given[from:] {
		if isMark(raw) {
			marks++
			continue
		}
		b, err := state.ParseBatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
	return batches, marks
}

func TestItemsHaveEntriesToThemselvesAndOthersShare(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		synctest.Wait()
		from := len(g.given)
		watch := state.Command{Kind: state.Watch, Session: id, Life: life, Path: "/data/x", SessionWatches: 9}
		var commands []state.Command
		for range 3 {
			commands = append(commands, watch, watch, push(id, life, "/data/x", 1), push(id, life, "/data/x", 2))
		}
		for range 1000 { // more than may share one entry
			commands = append(commands, watch)
		}
		long := watch
		long.Path = vera.Path("/data/" + strings.Repeat("x", 10<<10))
		commands = append(commands, long, long, long, long) // more bytes than may share one
		var codes atomic.Int64
		g.propose(commands, func(r []state.Reply, err error) {
			for i := range r {
				if r[i].Code == vera.OK && err == nil {
					codes.Add(1)
				}
			}
		})
		synctest.Wait()
		if codes.Load() != int64(len(commands)) {
			t.Errorf("%d of %d commands are OK", codes.Load(), len(commands))
		}
		next := uint64(3) // behind up and open
		batches, _ := g.entries(t, from)
		for _, b := range batches {
			if b.First != next || b.Peer != 7 || b.Incarnation != 1 {
				t.Fatalf("entry is numbered %d, want %d", b.First, next)
			}
			next += uint64(len(b.Commands))
			if b.Commands[0].Kind.Alone() && len(b.Commands) != 1 || len(b.Commands) > shareCommands {
				t.Errorf("%d commands in the entry of a %v", len(b.Commands), b.Commands[0].Kind)
			}
		}
		if next != uint64(3+len(commands)) || len(batches) > 3*3+1000/shareCommands+2+2 {
			t.Errorf("%d entries up to number %d for %d commands", len(batches), next, len(commands))
		}
	})
}

func TestTwoBatchesAtMostAreUnderWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		g.holding(true)
		synctest.Wait()
		from := len(g.given)
		var answers atomic.Int64
		for range 10 {
			commands := make([]state.Command, 300)
			for i := range commands {
				commands[i] = push(id, life, "/data/x", i)
			}
			g.propose(commands, func([]state.Reply, error) { answers.Add(1) })
		}
		synctest.Wait()
		if got := len(g.given) - from; got > batchesOpen*batchEntries || got <= batchEntries/2 {
			t.Errorf("%d entries are under way", got)
		}
		if got := g.inFlight(); got != uint64(len(g.given)-from) {
			t.Errorf("%d in flight of %d", got, len(g.given)-from)
		}
		g.holding(false)
		synctest.Wait()
		if answers.Load() != 10 || g.inFlight() != 0 {
			t.Errorf("%d of 10 answered, %d in flight", answers.Load(), g.inFlight())
		}
	})
}

func TestFullDiskRefusesWhatGrowsOnly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		var first []state.Reply
		g.propose([]state.Command{push(id, life, "/data/x", 1)}, func(r []state.Reply, _ error) { first = r })
		synctest.Wait()
		full := errors.New("nearly full")
		g.mu.Lock()
		g.full = func() error { return full }
		g.mu.Unlock()
		huge := push(id, life, "/data/x", 2)
		huge.Data = make([]byte, g.largest+1)
		var replies []state.Reply
		g.propose([]state.Command{
			push(id, life, "/data/x", 2),
			{Kind: state.Update, Session: id, Life: life, Path: "/data/x", Version: first[0].Version, Data: []byte(`{}`)},
			huge,
			{Kind: state.Remove, Session: id, Life: life, Path: "/data/x", Version: first[0].Version},
			{Kind: state.Detach, Session: id, Life: life, Clean: true},
		}, func(r []state.Reply, err error) {
			if err != nil {
				t.Error(err)
			}
			replies = r
		})
		synctest.Wait()
		want := []vera.Code{vera.Unavailable, vera.Unavailable, vera.TooLarge, vera.OK, vera.OK}
		for i := range replies {
			if replies[i].Code != want[i] {
				t.Errorf("reply %d is %+v, want %v", i, replies[i], want[i])
			}
		}
		if c := g.fsm.machine.Counts(); len(replies) != 5 || c.Sessions != 0 || c.Items != 0 {
			t.Errorf("%d replies, %+v", len(replies), c)
		}
		var refused []state.Reply
		g.propose([]state.Command{push(id, life, "/data/x", 3)}, func(r []state.Reply, _ error) { refused = r })
		synctest.Wait()
		if len(refused) != 1 || refused[0].Code != vera.Unavailable || refused[0].Message != "nearly full" {
			t.Errorf("a push alone: %+v", refused)
		}
	})
}

func TestSpaceIsLookedAt(t *testing.T) {
	s, err := newSpace(folder(t.TempDir()).measure, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.full(); err != nil {
		t.Errorf("the disk of the tests has space: %v", err)
	}
	if s.reserve < minReserve || s.reserve > maxReserve {
		t.Errorf("reserve %d", s.reserve)
	}
	if _, err := newSpace(folder(filepath.Join(t.TempDir(), "none")).measure, 0); err == nil {
		t.Error("the disk of a directory that is not there")
	}
	bubble.Test(t, func(t *testing.T) {
		free := uint64(100)
		changes := 0
		s := &space{reserve: 50, changed: func(error) { changes++ }}
		s.measure = func() (uint64, uint64, error) { return free, 1000, nil }
		for range 3 {
			free = 100
			advance(spaceEvery)
			if err := s.full(); err != nil {
				t.Errorf("half of it is free: %v", err)
			}
			free = 49
			advance(spaceEvery)
			if err := s.full(); err == nil || !strings.Contains(err.Error(), "nearly full") {
				t.Errorf("the reserve is touched: %v", err)
			}
			s.look() // no news
		}
		if changes != 5 {
			t.Errorf("%d changes were told", changes)
		}
	})
}

func TestBarriersShareAMarkThatComesAfterThem(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		g.holding(true)
		synctest.Wait()
		from := len(g.given)
		var early, late atomic.Uint64
		for range 500 {
			g.barrier(func(index, _ uint64, err error) {
				if err != nil || index > g.fsm.machine.Applied() {
					t.Errorf("barrier at %d, applied %d: %v", index, g.fsm.machine.Applied(), err)
				}
				early.Add(1)
			})
		}
		synctest.Wait()
		// These ask while marks are under way that were handed over before they
		// asked, and the push is committed between.
		var version uint64
		g.propose([]state.Command{push(id, life, "/data/x", 1)}, func(r []state.Reply, _ error) { version = r[0].Version })
		synctest.Wait()
		for range 500 {
			g.barrier(func(index, _ uint64, err error) {
				if err != nil || version == 0 || index <= version {
					t.Errorf("barrier at %d, before version %d: %v", index, version, err)
				}
				late.Add(1)
			})
		}
		g.holding(false)
		synctest.Wait()
		if _, marks := g.entries(t, from); marks > 4 || early.Load() != 500 || late.Load() != 500 {
			t.Errorf("%d marks for 1,000 barriers, of which %d and %d passed", marks, early.Load(), late.Load())
		}
		g.holding(true)
		passed := false
		g.barrier(func(_, term uint64, err error) { passed = err == nil && term == 2 })
		synctest.Wait()
		g.depose(0) // the mark is lost with the leadership, and handed over again
		g.holding(false)
		synctest.Wait()
		if !passed {
			t.Error("a barrier did not survive a change of leadership")
		}
	})
}

func TestLaterBarrierWaitsForTheLaterMark(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.route(true)
		id, life := g.open(t, "one")
		g.holding(true)
		var version, second uint64
		g.barrier(func(uint64, uint64, error) {})
		synctest.Wait()
		g.propose([]state.Command{push(id, life, "/data/x", 1)}, func(r []state.Reply, _ error) { version = r[0].Version })
		synctest.Wait()
		g.barrier(func(index, _ uint64, _ error) { second = index })
		synctest.Wait()
		g.holding(false)
		synctest.Wait()
		if version == 0 || second <= version {
			t.Errorf("a barrier passed at %d, before version %d that was handed over before it", second, version)
		}
	})
}

func TestWaitersAreToldInTimeAndOnce(t *testing.T) {
	w := newWaiters()
	applied := uint64(5)
	now := func() uint64 { return applied }
	told := map[string]int{}
	note := func(name string) func() { return func() { told[name]++ } }
	w.add(5, now, note("at once"))
	w.add(8, now, note("eight"))
	w.add(7, now, note("seven"))
	cancel := w.add(7, now, note("never"))
	last := w.add(9, now, note("nine"))
	cancel()
	cancel()
	for applied = 6; applied <= 20; applied++ {
		w.reached(applied)
		if (applied >= 7) != (told["seven"] == 1) || (applied >= 8) != (told["eight"] == 1) {
			t.Errorf("at %d: %v", applied, told)
		}
	}
	last() // too late
	if told["at once"] != 1 || told["never"] != 0 || told["nine"] != 1 {
		t.Errorf("%v", told)
	}
}
