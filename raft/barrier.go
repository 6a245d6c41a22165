package raft

import (
	"encoding/binary"
	"errors"
	"time"

	"vera"
	"vera/raft/state"
)

// A mark is a log entry of this room: it changes nothing, and says that its
// peer wanted to see it. Whoever sees its own mark applied has applied all
// that was committed before it was handed over, whichever peer leads. That is
// what a Barrier waits for. Unlike VerifyLeader of hashicorp/raft, whose
// confirmation may count answers from before, it cannot be fooled by a pause.
//
// In company each peer hands one over now and then, so that all know that it
// lives, and what it made of the log.
type mark struct {
	peer        state.PeerID
	incarnation uint64
	number      uint64 // never given twice in an incarnation
	point       point  // how far its peer had applied the log; zero: it does not say
}

// point is how far a log is applied, with the rolling hash of that.
type point struct{ index, hash uint64 }

// markVersion is the first byte of a mark. That of a state.Batch is another.
const markVersion = 0

func (m mark) append(dst []byte) []byte {
	dst = append(dst, markVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.peer))
	dst = binary.AppendUvarint(dst, m.incarnation)
	dst = binary.AppendUvarint(dst, m.number)
	if m.point.index == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, m.point.index)
	return binary.LittleEndian.AppendUint64(dst, m.point.hash)
}

func isMark(entry []byte) bool { return len(entry) > 0 && entry[0] == markVersion }

// parseMark reads a mark. What a newer peer put behind is not looked at.
func parseMark(entry []byte) (m mark, err error) {
	if len(entry) < 11 || !isMark(entry) {
		return m, errors.New("a mark is too short")
	}
	m.peer = state.PeerID(binary.LittleEndian.Uint64(entry[1:]))
	rest, broken := entry[9:], false
	number := func() uint64 {
		x, n := binary.Uvarint(rest)
		if n <= 0 {
			broken = true
			return 0
		}
		rest = rest[n:]
		return x
	}
	m.incarnation, m.number = number(), number()
	if len(rest) > 0 {
		m.point.index = number()
		if broken = broken || len(rest) < 8; !broken {
			m.point.hash = binary.LittleEndian.Uint64(rest)
		}
	}
	if broken {
		return m, errors.New("a mark is malformed")
	}
	return m, nil
}

// barriers are those who wait for a mark. Many share one.
type barriers struct {
	asking []asked       // for the next mark
	marked []markers     // for a mark that was handed over or a later one; the oldest first, at most batchesOpen
	marks  uint64        // number of the last mark
	sent   fifo[sending] // marks that were handed over and not applied, of the last mostSent
	upTo   uint64        // of the last of these that was applied
	herald bool          // a mark is wanted though nobody waits: every peer is to see it
}

// mostSent bounds what is remembered of marks that were handed over. One that
// is forgotten still serves who waits for it, and proves nothing else.
const mostSent = 64

// sending is a mark that was handed over.
type sending struct {
	number uint64
	upTo   uint64 // number of the last command that was handed over before it
	at     time.Time
}

type markers struct {
	number uint64
	all    []asked
}

// asked is one call of Barrier.
type asked struct {
	due  time.Time
	done func(index, term uint64, err error)
}

// pass is a call of done that is owed, to be made without the lock.
type pass struct {
	done        func(index, term uint64, err error)
	index, term uint64
	err         error
}

func tellPassed(all []pass) {
	for _, p := range all {
		p.done(p.index, p.term, p.err)
	}
}

// barrier has done called when a mark that is not handed over yet is applied,
// with its index and term.
func (p *proposer) barrier(done func(index, term uint64, err error)) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		go done(0, 0, errStopped(vera.AppliedNo))
		return
	}
	p.asking = append(p.asking, asked{time.Now().Add(p.timeout), done})
	p.arm()
	p.mu.Unlock()
	p.poke()
}

// announce has a mark handed over even if nobody waits for one.
func (p *proposer) announce() {
	p.mu.Lock()
	p.herald = true
	p.mu.Unlock()
	p.poke()
}

// mark puts a mark out behind the rest, for all who ask. Each has a number of
// its own, so that what is learnt from it is never taken for older than it is.
func (p *proposer) mark() {
	p.marks++
	if len(p.asking) > 0 && len(p.marked) < batchesOpen {
		p.marked = append(p.marked, markers{p.marks, p.asking})
		p.asking = nil
	}
	p.herald = false
	if p.sent.len() == mostSent {
		p.sent.pop()
	}
	p.sent.push(sending{p.marks, p.next - 1, time.Now()})
	p.out = append(p.out, mark{p.peer, p.incarnation, p.marks, p.point}.append(nil))
}

// pass takes a mark of this peer and incarnation that was applied: it serves
// all who waited for it or for an earlier one.
func (p *proposer) pass(passed []pass, m seen) []pass {
	for len(p.marked) > 0 && p.marked[0].number <= m.number {
		for _, a := range p.marked[0].all {
			passed = append(passed, pass{a.done, m.index, m.term, nil})
		}
		p.marked = append(p.marked[:0], p.marked[1:]...)
	}
	for p.sent.len() > 0 && p.sent.at(0).number < m.number {
		p.sent.pop()
	}
	if p.sent.len() > 0 && p.sent.at(0).number == m.number {
		p.touch(p.sent.at(0).at)
		p.upTo = p.sent.at(0).upTo
		p.sent.pop()
	}
	return passed
}

// overtaken has everything handed over again when something was applied that
// was handed over later than what was not: that was lost.
func (p *proposer) overtaken() {
	answered := p.next - 1
	if p.window.len() > 0 {
		answered = p.window.at(0).first - 1
	}
	entry := p.window.len() > 0 && answered < p.upTo
	mark := len(p.marked) > 0 && p.sent.len() > 0 && p.sent.at(p.sent.len()-1).upTo < answered
	p.again = p.again || entry || mark
	p.upTo = 0
}

func (b *barriers) due(note func(time.Time)) {
	for _, m := range b.marked {
		if len(m.all) > 0 {
			note(m.all[0].due)
			break
		}
	}
	if len(b.asking) > 0 {
		note(b.asking[0].due)
	}
}

// giveUp takes those that are due by now.
func (b *barriers) giveUp(now time.Time, reason func(vera.Applied) error) (passed []pass) {
	overdue := func(all []asked) []asked {
		n := 0
		for n < len(all) && !all[n].due.After(now) {
			passed = append(passed, pass{done: all[n].done, err: reason(vera.AppliedNo)})
			n++
		}
		return all[n:]
	}
	for i := range b.marked {
		b.marked[i].all = overdue(b.marked[i].all)
	}
	b.asking = overdue(b.asking)
	return passed
}
