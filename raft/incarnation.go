package raft

import (
	"time"

	"vera"
	"vera/raft/state"
)

// An incarnation is how a peer says that it begins anew. Its first command is
// PeerUp, which makes all void that the log may still get of the one before.
// There is one for each start of the process, and another whenever the log says
// that this one is over: the peer was cut off, and the leader declared it gone.

// countStart makes the next incarnation durable: above the last one that was,
// and above all that the log knows, should the directory come from a backup.
// The number is kept with the log, so that such a directory has the two from
// one moment.
func (r *Raft) countStart() (uint64, error) {
	last, err := r.number(incarnationName)
	if err != nil {
		return 0, err
	}
	known, _ := r.machine.LastSequence(r.directory.id)
	next := max(last, known) + 1
	return next, r.guard.SetUint64(incarnationName, next)
}

// rise begins the next incarnation when the one before is over, and says
// whether something may be handed over.
func (p *proposer) rise() bool {
	p.mu.Lock()
	void, may := p.void, p.may()
	p.mu.Unlock()
	if !void || !may {
		return may
	}
	next, err := p.begin()
	if err != nil { // this peer closes; or it ended in begin
		p.rest()
		return false
	}
	p.mu.Lock()
	p.renumber(next)
	p.mu.Unlock()
	return true
}

// renumber begins an incarnation with PeerUp, and with what was under way in
// the one before, in its order. None of that was or will be applied under its
// old number. What was given up is not handed over again.
func (p *proposer) renumber(incarnation uint64) {
	before := p.window
	p.incarnation, p.void = incarnation, false
	p.window, p.sent = fifo[underWay]{}, fifo[sending]{}
	p.next = 1
	now := time.Now()
	p.number(nil, 0, []state.Command{{Kind: state.PeerUp, Grace: p.grace}}, now)
	for i := range before.len() {
		e := before.at(i)
		if e.of == nil || e.of.done == nil {
			continue
		}
		end := e.offset + int(e.last-e.first) + 1
		p.number(e.of, e.offset, e.of.commands[e.offset:end], now)
	}
	p.ends = append(p.ends[:0], p.next-1)
	p.again, p.anew = true, true
}

// covered takes what a state that was loaded knows of this peer. What that
// state holds of the commands under way was applied, but with what reply is
// not in it: such a proposal is answered with an error that says so, once the
// rest of it is answered. What the state lacks is handed over again, as are
// marks, since nobody can know which of them it holds.
func (p *proposer) covered(known state.Peer) (finished []outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known.Incarnation == p.incarnation {
		for p.window.len() > 0 && p.window.at(0).last <= known.Sequence {
			if s := p.window.at(0).of; s != nil {
				s.covered = true
				finished = p.settle(finished, s, p.window.at(0))
			}
			p.drop()
		}
	}
	p.void = p.void || known.Incarnation > p.incarnation || known.Incarnation == p.incarnation && known.Gone
	p.sent = fifo[sending]{}
	p.again = p.underWay()
	p.progress()
	p.poke()
	return finished
}

// settle counts what an entry answered of its proposal.
func (p *proposer) settle(finished []outcome, s *proposal, e *underWay) []outcome {
	commands := int(e.last-e.first) + 1
	s.open -= commands
	switch {
	case s.done == nil:
		p.late += uint64(commands)
	case s.open == 0:
		return append(finished, s.outcome(s.verdict()))
	}
	return finished
}

// verdict is how a proposal ends of which nothing is open.
func (s *proposal) verdict() error {
	if s.covered {
		return errCovered
	}
	return nil
}

// drop takes the oldest entry out of those under way.
func (p *proposer) drop() {
	if len(p.ends) > 0 && p.ends[0] <= p.window.at(0).last {
		p.ends = append(p.ends[:0], p.ends[1:]...)
	}
	p.window.pop()
}

var errCovered = &vera.Error{
	Code: vera.Unavailable, Applied: vera.AppliedUnknown,
	Message: "this peer was behind and got the state of another, which does not hold the answer",
}
