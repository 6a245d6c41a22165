package clients

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// frozenLong: a client that stands still for longer than its grace is told that
// it lost everything, pushes nothing of that again, and goes on watching.
func frozenLong(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{GraceMs: 1000, HeartbeatMs: 500})
	other := s.connect(t, "other", Command{})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), true)
	told, both := a.watch(w.path), a.watch(s.path(t)+"/both")
	first := a.push(s.path(t)+"/both", number{})
	w.next(time.Now())

	a.signal(syscall.SIGSTOP)
	s.empties(t, s.path(t)+"/held")
	s.empties(t, w.path)
	second := other.push(s.path(t)+"/both", number{}) // in the sleep
	woken := time.Now()
	a.signal(syscall.SIGCONT)
	lost := a.await("lost", woken)
	within(t, "the loss told", lost.at.Sub(woken))
	within(t, "the next pushes answered", w.next(time.Now()))
	third := other.push(s.path(t)+"/both", number{})
	told.becomes(t, w.end())
	both.becomes(t, s.list(t, both.path))
	if got := versions(s.list(t, both.path)); fmt.Sprint(got) != fmt.Sprint([]uint64{second, third}) {
		t.Errorf("%v are there; %d went, %d and %d came", got, first, second, third)
	}
	found := map[uint64]bool{}
	for _, e := range a.heard("lost") {
		found[e.Version] = true
	}
	if !found[held] || !found[first] {
		t.Errorf("%d and %d are lost, told are %v", held, first, found)
	}
	s.empties(t, s.path(t)+"/held")
	a.close()
	other.close()
}

// frozenShort: one that stands still for shorter than that has lost nothing,
// though all its connections are over.
func frozenShort(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{GraceMs: 15000, HeartbeatMs: 500})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), false)
	told := a.watch(w.path)
	w.next(time.Now())

	a.signal(syscall.SIGSTOP)
	wait(t, "the connections to be lost", func() error {
		if n := s.total(); n > 0 {
			return fmt.Errorf("%v are there", n)
		}
		return nil
	})
	woken := time.Now()
	a.signal(syscall.SIGCONT)
	within(t, "the next pushes answered", w.next(woken))
	within(t, "the next difference told", told.next(time.Now()))
	told.becomes(t, w.end())
	a.lostNothing("closed")
	a.holds(s, held)
	a.close()
}
