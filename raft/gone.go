package raft

import (
	"sync"
	"time"

	"vera/raft/state"
)

// silences finds the peers that are gone: of which, though this peer leads and
// its own marks pass, nothing came through the log for a while; and at once
// those that are no member any more. As with an expiry, the leader proves by a
// barrier in its term that it leads before it declares anybody gone. A peer
// that was only cut off sees it in the log and comes up anew; see rise.
//
// A new leader cannot know what came while nobody led: so silence is counted
// from the first own mark of its term, by patience.
type silences struct {
	self    state.PeerID
	after   time.Duration                                  // of silence
	grace   time.Duration                                  // for the sessions of who is gone
	leads   func(term uint64) bool                         // this peer leads, and has since that term began
	barrier func(done func(index, term uint64, err error)) // a point in the log behind everything before
	expire  func([]state.Command)                          // hands them over; they may be lost
	risen   func(state.PeerID)                             // is told, where this peer leads, that one came up
	peers   func() []state.Peer                            // that the machine knows
	member  func(state.PeerID) bool                        // of the cluster; true when that is not known
	wake    chan struct{}                                  // of capacity 1

	mu      sync.Mutex
	clock   patience
	leading bool
	term    uint64        // in which own marks pass
	since   time.Duration // when the first did; as all here, on the patient clock
	voices  map[state.PeerID]*voice
	proof   proof
}

// voice is when a peer was heard.
type voice struct {
	incarnation uint64
	at          time.Duration
	next        time.Duration // before that it is not declared gone again
}

func newSilences(self state.PeerID, after, grace time.Duration) *silences {
	return &silences{
		self: self, after: after, grace: grace,
		member: func(state.PeerID) bool { return true },
		risen:  func(state.PeerID) {},
		wake:   make(chan struct{}, 1),
		clock:  patience{slack: graceSlack, at: time.Now()},
		voices: map[state.PeerID]*voice{},
	}
}

func (s *silences) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// lead says whether this peer leads.
func (s *silences) lead(leads bool) {
	s.mu.Lock()
	s.leading = leads
	s.mu.Unlock()
	s.poke()
}

// passed says that an own mark was applied, in a term.
func (s *silences) passed(term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term != term {
		s.term, s.since = term, s.now()
		clear(s.voices) // nothing before counts
		s.poke()
	}
}

// heard says that something of a peer was applied.
func (s *silences) heard(id state.PeerID, incarnation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leading {
		return
	}
	v := s.voices[id]
	if v == nil {
		v = &voice{}
		s.voices[id] = v
	}
	if incarnation >= v.incarnation {
		v.incarnation, v.at = incarnation, s.now()
	}
}

// rose says that a peer took up a new incarnation.
func (s *silences) rose(id state.PeerID) {
	s.mu.Lock()
	leading := s.leading
	s.mu.Unlock()
	if leading {
		s.risen(id)
	}
}

// now is when something is heard: an idle clock was not looked at for long.
func (s *silences) now() time.Duration {
	wall := time.Now()
	s.clock.plan(wall, graceStep)
	return s.clock.now(wall)
}

// run acts until stop is closed.
func (s *silences) run(stop <-chan struct{}) {
	timer := time.NewTimer(graceIdle)
	defer timer.Stop()
	for {
		timer.Reset(s.look())
		select {
		case <-timer.C:
		case <-s.wake:
		case <-stop:
			return
		}
	}
}

// look does what is due and returns when to look again.
func (s *silences) look() time.Duration {
	s.mu.Lock()
	if !s.leading {
		s.proof = proof{}
		s.mu.Unlock()
		return graceIdle
	}
	now := s.now()
	var gone []state.Command
	if s.proof.given {
		if s.leads(s.proof.term) {
			gone = s.gone(s.proof.upTo)
		}
		for _, c := range gone {
			s.voices[c.Peer].next = now + graceAgain
		}
		s.proof = proof{}
	}
	ask := !s.proof.asked && s.leads(s.term) && len(s.gone(now)) > 0
	if ask {
		s.proof = proof{asked: true, upTo: now}
	}
	s.mu.Unlock()
	if len(gone) > 0 {
		s.expire(gone)
	}
	if ask {
		s.barrier(s.proved)
	}
	return graceStep
}

// proved is told that the barrier was passed.
func (s *silences) proved(_, term uint64, err error) {
	s.mu.Lock()
	s.proof.given, s.proof.term = err == nil, term
	s.proof.asked = err == nil
	s.mu.Unlock()
	s.poke()
}

// gone declares those gone that were silent for too long at a moment, and have
// been since.
func (s *silences) gone(now time.Duration) (all []state.Command) {
	for _, p := range s.peers() {
		if p.Gone || p.Peer == s.self {
			continue
		}
		v := s.voices[p.Peer]
		if v == nil {
			v = &voice{}
			s.voices[p.Peer] = v
		}
		last := s.since
		if v.incarnation == p.Incarnation {
			last = max(last, v.at)
		}
		if now >= v.next && (now-last >= s.after || !s.member(p.Peer)) {
			all = append(all, state.Command{Kind: state.PeerGone, Peer: p.Peer, Incarnation: p.Incarnation, Grace: s.grace})
		}
	}
	return all
}
