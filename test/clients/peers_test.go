package clients

import (
	"testing"
	"time"
)

// soon is how long whatever a client does by itself may take: the time that a
// peer waits for a leader, an election or two, and a machine that others use.
const soon = 12 * time.Second

// within holds what took time to the bound, and prints it.
func within(t testing.TB, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s after %v", what, took.Round(time.Millisecond))
	if took > soon {
		t.Errorf("%s after %v, %v at most", what, took, soon)
	}
}

// leaderKilled: pushes are answered by the next leader, over the connection
// that is there already.
func leaderKilled(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{GraceMs: 5000})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), false)
	told := a.watch(w.path)
	leader, ears := s.roles(t)
	w.next(time.Now())

	before := closed(ears)
	leader.Kill()
	killed := time.Now()
	within(t, "the next pushes answered", w.next(killed))
	// Ears at a peer that leads now may move: the next one is opened first.
	if after := closed(ears); after != before && s.Leader() != ears {
		t.Errorf("%v connections to %s ended, which did not die", after-before, ears.Name)
	}
	within(t, "the next difference told", told.next(killed))
	leader.Restart()
	s.AwaitWhole()
	w.next(time.Now())
	told.becomes(t, w.end())
	a.lostNothing("connecting", "closed")
	a.holds(s, held)
	a.close()
}

// holds makes sure that an item is alone on the list of those that are held.
func (a *actor) holds(s *stage, version uint64) {
	a.t.Helper()
	if items := s.list(a.t, s.path(a.t)+"/held"); len(items) != 1 || items[0].Version != version {
		a.t.Errorf("%s holds %d, the list has %v", a.name, version, versions(items))
	}
}

// earsKilled: the client goes on listening elsewhere, without a gap.
func earsKilled(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{GraceMs: 5000})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), false)
	told := a.watch(w.path)
	_, ears := s.roles(t)
	w.next(time.Now())

	ears.Kill()
	killed := time.Now()
	within(t, "the next pushes answered", w.next(killed))
	within(t, "the next difference told", told.next(killed))
	ears.Restart()
	s.AwaitWhole()
	w.next(time.Now())
	told.becomes(t, w.end())
	a.lostNothing("connecting", "closed")
	a.holds(s, held)
	a.close()
}

// onlyPeerKilled: a client with one connection goes on elsewhere.
func onlyPeerKilled(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{Connections: "one", GraceMs: 1000})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), false)
	told := a.watch(w.path)
	w.next(time.Now())
	at := s.only(t)

	at.Kill()
	killed := time.Now()
	within(t, "the next pushes answered", w.next(killed))
	within(t, "the next difference told", told.next(killed))
	at.Restart()
	s.AwaitWhole()
	told.becomes(t, w.end())
	a.lostNothing("closed")
	a.holds(s, held)
	a.close()
}

// localPeerKilled: a watch that only its peer knew of goes on elsewhere.
func localPeerKilled(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{Local: true, Connections: "one"})
	told := a.watch(s.path(t))
	at := s.only(t)
	writer := s.connect(t, "writer", Command{GraceMs: 5000})
	w := s.work(t, writer, s.path(t), false)
	w.next(time.Now())

	at.Kill()
	killed := time.Now()
	within(t, "the next pushes answered", w.next(killed))
	within(t, "the next difference told", told.next(time.Now()))
	at.Restart()
	s.AwaitWhole()
	told.becomes(t, w.end())
	a.lostNothing("closed")
	writer.close()
	a.close()
}

// allRestarted: the session is there again, or its end is told; nothing is
// pushed a second time.
func allRestarted(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{GraceMs: 5000})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), true)
	told := a.watch(w.path)
	s.roles(t)
	w.next(time.Now())

	for _, p := range s.Peers {
		p.Signal(9)
	}
	for _, p := range s.Peers {
		p.Kill()
	}
	for _, p := range s.Peers {
		p.Launch()
	}
	s.AwaitWhole()
	whole := time.Now()
	within(t, "the cluster is whole; the next pushes answered", w.next(whole))
	told.becomes(t, w.end())
	if lost := a.heard("lost"); len(lost) > 0 {
		t.Logf("the session ended: %s", lost[0].Reason)
		s.empties(t, s.path(t)+"/held")
	} else {
		a.holds(s, held)
	}
	a.close()
}

// allDrain: a rolling restart shows as nothing at all.
func allDrain(t *testing.T, s *stage) {
	a := s.connect(t, "a", Command{})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), false)
	told := a.watch(w.path)
	for _, p := range s.Peers {
		began := time.Now()
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
		p.Restart()
		s.AwaitWhole()
		within(t, p.Name+" is back; the next pushes answered", w.next(time.Now()))
		told.next(began)
	}
	told.becomes(t, w.end())
	a.lostNothing("closed")
	a.holds(s, held)
	a.close()
}
