package raft

import (
	"time"

	"vera"
	"vera/raft/state"
)

// repeatAfter is for how long nothing of what is under way may be answered
// until all of it is handed over again: hashicorp/raft can refuse an entry
// without a change of leadership, while a transfer of it fails.
const repeatAfter = 2 * time.Second

// After enter failed, nothing is handed over for a pause, which is doubled with
// each failure and forgotten when something is answered or the leader changes.
const (
	shortestPause = 20 * time.Millisecond
	longestPause  = 500 * time.Millisecond
)

func errStopped(applied vera.Applied) error {
	return &vera.Error{Code: vera.Unavailable, Message: "this peer stops", Applied: applied}
}

func errLate(applied vera.Applied) error {
	return &vera.Error{Code: vera.Unavailable, Message: "no leader agreed in time", Applied: applied}
}

// outcome takes the call of done that is owed to a proposal. From then on its
// replies belong to the caller.
func (s *proposal) outcome(err error) outcome {
	o := outcome{s.done, s.replies, err}
	s.done = nil
	return o
}

// tell makes the calls that are owed.
func tell(all []outcome) {
	for _, o := range all {
		o.done(o.replies, o.err)
	}
}

// route says that another leads from now on, here or elsewhere, or that nobody
// is known to. What was handed over before may have been lost with the leader
// before, so it is handed over again.
func (p *proposer) route(known bool) {
	p.mu.Lock()
	p.known = known
	p.again = p.underWay()
	p.pause, p.paused = 0, false
	p.herald = p.herald || known
	p.mu.Unlock()
	p.poke()
}

// depose forgets what only a leader hands over: the next one proposes it again.
// That this peer leads may be told more than once, and late: so route keeps it.
func (p *proposer) depose() {
	p.mu.Lock()
	p.plain = nil
	p.mu.Unlock()
}

// rest has what is under way handed over again after a pause, because enter
// failed.
func (p *proposer) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again = p.underWay()
	p.pause = min(max(2*p.pause, shortestPause), longestPause)
	p.paused = true
	if p.resting != nil {
		p.resting.Stop() // that pause was shorter
	}
	p.resting = time.AfterFunc(p.pause, func() {
		p.mu.Lock()
		p.paused = false
		p.mu.Unlock()
		p.poke()
	})
}

func (p *proposer) underWay() bool { return p.window.len() > 0 || len(p.marked) > 0 }

// inFlight returns how many commands were handed over and not answered.
func (p *proposer) inFlight() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.window.len() == 0 {
		return 0
	}
	return p.next - p.window.at(0).first
}

func (p *proposer) waiting() bool {
	return p.underWay() || p.queue.len() > 0 || len(p.asking) > 0
}

// own is what a batch of applied entries holds of this peer.
type own struct {
	outputs []state.Output // of its commands, in the log's order
	marks   []seen         // its marks, in the log's order
	gone    uint64         // the incarnation that was declared gone; 0: none
	since   uint64         // index of that entry
}

// seen is an own mark that was applied.
type seen struct{ incarnation, number, index, term uint64 }

// answer takes what the log did to this peer.
func (p *proposer) answer(o *own) (finished []outcome, passed []pass) {
	if len(o.outputs) == 0 && len(o.marks) == 0 && o.gone == 0 {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range o.outputs {
		if out := &o.outputs[i]; out.Incarnation == p.incarnation {
			finished = p.take(finished, out)
		}
	}
	for _, m := range o.marks {
		if m.incarnation == p.incarnation && (o.gone != m.incarnation || m.index < o.since) {
			passed = p.pass(passed, m)
		}
	}
	p.void = p.void || o.gone != 0 && o.gone == p.incarnation
	p.overtaken()
	p.progress()
	return finished, passed
}

// take gives an output to whom it answers.
func (p *proposer) take(finished []outcome, out *state.Output) []outcome {
	if out.Skipped {
		// A PeerUp that is skipped before it ever was applied: the log knows a
		// later incarnation.
		p.void = p.void || out.First == 1 && p.window.len() > 0 && p.window.at(0).first == 1
		return finished
	}
	if p.window.len() == 0 || p.window.at(0).first != out.First {
		panic("raft: the log applied a command of this peer that it had not handed over next: is there another peer with a copy of its data directory?")
	}
	entry := p.window.at(0)
	if s := entry.of; s != nil {
		if s.done != nil {
			copy(s.replies[entry.offset:], out.Replies)
		}
		finished = p.settle(finished, s, entry)
	}
	p.touch(entry.at)
	p.drop()
	return finished
}

// touch notes when something was handed over that was applied since.
func (p *proposer) touch(at time.Time) {
	if at.After(p.contact) {
		p.contact = at
	}
}

// lastContact returns when the newest was handed over of what was applied
// since.
func (p *proposer) lastContact() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contact
}

// progress notes that something was answered: another batch may go out.
func (p *proposer) progress() {
	p.moved = time.Now()
	p.pause = 0
	if p.again || p.void || p.queue.len() > 0 || len(p.asking) > 0 {
		p.poke()
	}
}

// arm has tick called while anything waits.
func (p *proposer) arm() {
	if p.timer == nil {
		p.timer = time.AfterFunc(min(p.timeout, repeatAfter), p.tick)
	}
}

// tick gives up what is overdue, and has repeated what seems lost.
func (p *proposer) tick() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	finished, passed := p.giveUp(now, errLate)
	if p.known && p.underWay() && now.Sub(p.moved) >= repeatAfter {
		p.again = true
	}
	p.timer = nil
	if p.waiting() {
		next := now.Add(repeatAfter)
		if due, any := p.nextDue(); any && due.Before(next) {
			next = due
		}
		p.timer = time.AfterFunc(max(next.Sub(now), time.Millisecond), p.tick)
	}
	p.mu.Unlock()
	tell(finished)
	tellPassed(passed)
	p.poke()
}

// nextDue returns when the oldest proposal or barrier that still waits is to
// be given up.
func (p *proposer) nextDue() (due time.Time, any bool) {
	note := func(t time.Time) {
		if !any || t.Before(due) {
			due, any = t, true
		}
	}
	for i := range p.window.len() {
		if s := p.window.at(i).of; s != nil && s.done != nil {
			note(s.due)
			break
		}
	}
	for i := range p.queue.len() {
		if s := *p.queue.at(i); s.done != nil {
			note(s.due)
			break
		}
	}
	p.barriers.due(note)
	return due, any
}

// giveUp takes the outcomes of everything that is due by now. What was handed
// over, even in part, may still be applied and stays under way, since what
// comes after is numbered behind it; what was not is dropped.
func (p *proposer) giveUp(now time.Time, reason func(vera.Applied) error) (finished []outcome, passed []pass) {
	for i := range p.window.len() {
		if s := p.window.at(i).of; s != nil && s.done != nil && !s.due.After(now) {
			s.packed = len(s.commands)
			finished = append(finished, s.outcome(reason(vera.AppliedUnknown)))
		}
	}
	for p.queue.len() > 0 {
		s := *p.queue.at(0)
		if s.done != nil && s.due.After(now) {
			break
		}
		if s.done != nil {
			applied := vera.AppliedNo
			if s.covered {
				applied = vera.AppliedUnknown
			}
			finished = append(finished, s.outcome(reason(applied)))
		}
		p.queue.pop()
	}
	return finished, p.barriers.giveUp(now, reason)
}

// close gives everything up. run and Raft have ended before.
func (p *proposer) close() {
	p.mu.Lock()
	p.closed = true
	finished, passed := p.giveUp(time.Now().Add(p.timeout+time.Hour), errStopped)
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	tell(finished)
	tellPassed(passed)
}
