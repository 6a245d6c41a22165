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
type mark struct {
	peer        state.PeerID
	incarnation uint64
	number      uint64
}

// markVersion is the first byte of a mark. That of a state.Batch is another.
const markVersion = 0

func (m mark) append(dst []byte) []byte {
	dst = append(dst, markVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.peer))
	dst = binary.AppendUvarint(dst, m.incarnation)
	return binary.AppendUvarint(dst, m.number)
}

func isMark(entry []byte) bool { return len(entry) > 0 && entry[0] == markVersion }

func parseMark(entry []byte) (m mark, err error) {
	if len(entry) < 11 || !isMark(entry) {
		return m, errors.New("a mark is too short")
	}
	m.peer = state.PeerID(binary.LittleEndian.Uint64(entry[1:]))
	rest := entry[9:]
	var n, k int
	m.incarnation, n = binary.Uvarint(rest)
	if n > 0 {
		m.number, k = binary.Uvarint(rest[n:])
	}
	if n <= 0 || k <= 0 || n+k != len(rest) {
		return m, errors.New("a mark is malformed")
	}
	return m, nil
}

// barriers are those who wait for a mark. Many share one.
type barriers struct {
	asking []asked   // for the next mark
	marked []markers // for a mark that was handed over; the oldest first, at most batchesOpen
	marks  uint64    // number of the last mark
	sent   time.Time // when the last mark was handed over
	proof  time.Time // when the last mark that was applied was handed over
	herald bool      // a mark is wanted though nobody waits: every peer is to see a new term
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

// mark puts a mark out behind the rest, for all who ask.
func (p *proposer) mark() {
	if len(p.asking) == 0 && !p.herald || len(p.marked) >= batchesOpen {
		return
	}
	p.marks++
	if len(p.asking) > 0 {
		p.marked = append(p.marked, markers{p.marks, p.asking})
	}
	p.asking, p.herald = nil, false
	p.putMark()
}

// markAgain puts out a mark that serves all that were handed over.
func (p *proposer) markAgain() {
	if len(p.marked) > 0 {
		p.putMark()
	}
}

func (p *proposer) putMark() {
	p.sent = time.Now()
	p.out = append(p.out, mark{p.peer, p.incarnation, p.marks}.append(nil))
}

// pass takes a mark of this peer and incarnation that was applied: it serves
// all who waited for it or for an earlier one.
func (p *proposer) pass(number, index, term uint64) (passed []pass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.marked) > 0 && p.marked[0].number <= number {
		for _, a := range p.marked[0].all {
			passed = append(passed, pass{a.done, index, term, nil})
		}
		p.marked = append(p.marked[:0], p.marked[1:]...)
	}
	if number == p.marks {
		p.proof = p.sent
	}
	p.progress()
	return passed
}

// lastProof returns when a mark was handed over that was committed since.
func (p *proposer) lastProof() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proof
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
