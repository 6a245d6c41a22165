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
// Every peer counts the silence of the others, leading or not, so that leaders
// that change often still find who is gone. Only time counts in which a mark
// could pass: what lies between two entries of one term, of whatever peers, that
// were applied here, and no more than a pulse of it. So nothing counts while
// nobody leads, or the leader has no majority, or this peer is cut off or (by
// patience) stands still. And a leader waits until its own marks have passed
// for a pulse in its term: whoever lives hands over a mark as soon as it hears
// of a leader, so it had its chance to speak.
//
// With terms of length T at least T - pulse counts of each: who is silent is
// declared gone within T * (1 + after/(T - pulse)), and a step.
type silences struct {
	self    state.PeerID
	after   time.Duration                                  // of silence
	pulse   time.Duration                                  // from one mark of a peer to the next
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
	term    uint64        // of the last entry of any peer
	last    time.Duration // when that was applied, on the patient clock
	chance  time.Duration // how long marks could pass, up to last
	own     uint64        // the term of the last own mark
	since   time.Duration // when the first own mark of that term was applied, on the patient clock
	voices  map[state.PeerID]*voice
	proof   proof // upTo is a chance
}

// voice is when a peer was heard.
type voice struct {
	incarnation uint64
	at          time.Duration // the chance there had been
	next        time.Duration // on the patient clock: before that it is not declared gone again
}

func newSilences(self state.PeerID, after, pulse, grace time.Duration) *silences {
	return &silences{
		self: self, after: after, pulse: pulse, grace: grace,
		member: func(state.PeerID) bool { return true },
		risen:  func(state.PeerID) {},
		wake:   make(chan struct{}, 1),
		clock:  patience{slack: graceSlack, at: time.Now()},
		voices: map[state.PeerID]*voice{},
	}
}

func (s *silences) poke() { poke(s.wake) }

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
	s.pass(term)
	if s.own != term {
		s.own, s.since = term, s.last
		s.poke()
	}
}

// heard says that something of a peer was applied, in a term.
func (s *silences) heard(id state.PeerID, incarnation, term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass(term)
	v := s.voices[id]
	if v == nil {
		v = &voice{}
		s.voices[id] = v
	}
	if incarnation >= v.incarnation {
		v.incarnation, v.at = incarnation, s.chance
	}
}

// pass notes that something of a term was applied now.
func (s *silences) pass(term uint64) {
	now := s.now()
	if s.term == term {
		s.chance = s.chances(now)
	}
	s.term, s.last = term, now
}

// chances is for how long, up to now, marks could pass if they still can.
func (s *silences) chances(now time.Duration) time.Duration {
	return s.chance + min(now-s.last, s.pulse+graceSlack)
}

// restart has all be silent from now on: what they said before is in the state
// that was loaded, and is not known.
func (s *silences) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.term = 0
	clear(s.voices)
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

// look does what is due and returns when to look again. Who does not lead looks
// too, so that its clock sees when it stands still.
func (s *silences) look() time.Duration {
	s.mu.Lock()
	now := s.now()
	silent := s.listen()
	if !s.leading {
		s.proof = proof{}
		s.mu.Unlock()
		return graceStep
	}
	var gone []state.Command
	if s.proof.given {
		if s.leads(s.proof.term) && s.own == s.proof.term {
			gone = s.gone(silent, now, s.proof.upTo)
		}
		for _, c := range gone {
			s.voices[c.Peer].next = now + graceAgain
		}
		s.proof = proof{}
	}
	upTo := s.chances(now)
	ask := !s.proof.asked && s.leads(s.own) && len(s.gone(silent, now, upTo)) > 0
	if ask {
		s.proof = proof{asked: true, upTo: upTo}
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

// listen returns the others that are not gone. Of whom nothing was heard in its
// incarnation, it is silent from now on.
func (s *silences) listen() (silent []state.Peer) {
	for _, p := range s.peers() {
		if p.Gone || p.Peer == s.self {
			continue
		}
		if v := s.voices[p.Peer]; v == nil {
			s.voices[p.Peer] = &voice{incarnation: p.Incarnation, at: s.chance}
		} else if v.incarnation < p.Incarnation {
			v.incarnation, v.at = p.Incarnation, s.chance
		}
		silent = append(silent, p)
	}
	return silent
}

// gone declares those gone that had been silent for too long at a moment, by
// the chances up to it, and have been since.
func (s *silences) gone(silent []state.Peer, now, upTo time.Duration) (all []state.Command) {
	settled := now-s.since >= s.pulse
	for _, p := range silent {
		v := s.voices[p.Peer]
		long := settled && upTo-v.at >= s.after
		if now >= v.next && (long || !s.member(p.Peer)) {
			all = append(all, state.Command{Kind: state.PeerGone, Peer: p.Peer, Incarnation: p.Incarnation, Grace: s.grace})
		}
	}
	return all
}
