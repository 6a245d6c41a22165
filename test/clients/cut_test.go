package clients

import (
	"testing"
	"time"

	"vera/test/cluster"
)

// leaderCutOff: the peer that pushes go to is cut off from the others while it
// is still reached.
func leaderCutOff(t *testing.T, s *stage) {
	cutOff(t, s, func(leader, _ *cluster.Peer) *cluster.Peer { return leader }, "connecting", "closed")
}

// earsCutOff: the same of the peer that is listened to.
func earsCutOff(t *testing.T, s *stage) {
	cutOff(t, s, func(_, ears *cluster.Peer) *cluster.Peer { return ears }, "connecting", "suspended", "closed")
}

// cutOff cuts off a peer: the client goes on with the others, both ways, also
// after the cut is healed, and is never told to be in some states.
func cutOff(t *testing.T, s *stage, which func(leader, ears *cluster.Peer) *cluster.Peer, never ...string) {
	a := s.connect(t, "a", Command{GraceMs: 5000})
	held := a.push(s.path(t)+"/held", number{})
	w := s.work(t, a, s.path(t), false)
	told := a.watch(w.path)
	peer := which(s.roles(t))
	w.next(time.Now())

	s.Isolate(peer)
	cut := time.Now()
	within(t, "the next pushes answered", w.next(cut))
	within(t, "the next difference told", told.next(time.Now()))
	s.Heal()
	s.AwaitWhole()
	w.next(time.Now())
	told.becomes(t, w.end())
	a.lostNothing(never...)
	a.holds(s, held)
	a.close()
}
