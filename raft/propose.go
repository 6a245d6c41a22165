package raft

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"vera"
	"vera/raft/state"
)

// Bounds of what is handed over at once, and of what is under way.
const (
	batchEntries  = 512     // log entries; also hashicorp/raft's MaxAppendEntries
	batchBytes    = 1 << 20 // of a batch's commands, about; a single command may be larger
	batchesOpen   = 2       // handed over and not all answered
	shareCommands = 256     // commands that share an entry
	shareBytes    = 32 << 10
	commandBytes  = 64 // of an encoded command, about, beside its strings
)

// proposer numbers the commands of this peer and hands them over to whoever
// leads, in order, again and again until the applied log says what became of
// them. The machine applies every number once and in order, so that handing
// over again never doubles anything.
//
// Nothing is learnt from hashicorp/raft's futures: they are dropped. What was
// applied is learnt from the log (answer) or from a snapshot (covered); that
// something may have been lost from an error of enter, from another leader
// (route), from what was applied though it was handed over later (overtaken),
// or from silence (tick).
type proposer struct {
	peer    state.PeerID
	timeout time.Duration // from Propose or Barrier to the answer
	largest int           // bytes of a command; a larger one is refused
	grace   time.Duration // of those whose client was here before the incarnation began
	// enter gives entries, in order, to whoever leads. It may wait, for two
	// seconds at most; an error says that some may not have got there. Only run calls it.
	enter   func(entries [][]byte) error
	begin   func() (uint64, error) // makes the next incarnation durable, and may wait; only run calls it
	full    func() error           // says why nothing may grow now; nil: it may. Only run calls it
	reached func() point           // what marks tell: how far this peer has applied the log
	counted func(entries int, again bool)
	wake    chan struct{} // of capacity 1
	out     [][]byte      // run's own, as are the next two: what it hands over now
	scratch []byte
	point   point

	mu          sync.Mutex
	incarnation uint64          // 0: none yet
	void        bool            // the incarnation is over: nothing is handed over before there is another
	known       bool            // there is a leader, here or elsewhere
	again       bool            // what is under way must be handed over again, from its start
	anew        bool            // it has other numbers than before
	pause       time.Duration   // before that, since enter failed; 0: it did not, or there is another leader
	paused      bool            // until then nothing is handed over
	resting     *time.Timer     // ends the pause
	closed      bool            // nothing is taken any more
	queue       fifo[*proposal] // not handed over, or only in part; oldest first
	window      fifo[underWay]  // handed over and not answered; numbers rising
	plain       [][]byte        // entries without a number, to be handed over once
	next        uint64          // number of the next command
	ends        []uint64        // last numbers of the batches under way, at most batchesOpen
	late        uint64          // commands answered after their proposal was given up
	moved       time.Time       // when something was last handed over or answered
	contact     time.Time       // when the newest was handed over of all that was applied
	timer       *time.Timer     // runs while anything waits
	barriers
}

// proposal is one call of Propose.
type proposal struct {
	commands []state.Command
	replies  []state.Reply
	packed   int // commands handed over or refused
	open     int // commands without a reply
	due      time.Time
	covered  bool                       // some were applied, and nobody knows with what reply
	done     func([]state.Reply, error) // nil once its outcome was taken
}

// outcome is a call of done that is owed, to be made without the lock.
type outcome struct {
	done    func([]state.Reply, error)
	replies []state.Reply
	err     error
}

// underWay is a log entry that was handed over.
type underWay struct {
	first, last uint64 // numbers of its commands
	data        []byte
	of          *proposal // nil: the peer's own PeerUp
	offset      int       // of its first command in the proposal
	at          time.Time // when it was first handed over
}

func newProposer(peer state.PeerID, timeout time.Duration, begin func() (uint64, error), enter func([][]byte) error) *proposer {
	return &proposer{
		peer: peer, timeout: timeout, begin: begin, enter: enter, void: true,
		largest: 1 << 20,
		full:    func() error { return nil },
		reached: func() point { return point{} },
		counted: func(int, bool) {},
		wake:    make(chan struct{}, 1),
	}
}

// propose takes commands for the log; see Raft.Propose.
func (p *proposer) propose(commands []state.Command, done func([]state.Reply, error)) {
	s := &proposal{
		commands: commands,
		replies:  make([]state.Reply, len(commands)),
		open:     len(commands),
		due:      time.Now().Add(p.timeout),
		done:     done,
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		go done(s.replies, errStopped(vera.AppliedNo))
		return
	}
	p.queue.push(s)
	p.arm()
	p.mu.Unlock()
	p.poke()
}

func (p *proposer) poke() { poke(p.wake) }

// run hands over until stop is closed.
func (p *proposer) run(stop <-chan struct{}) {
	for {
		select {
		case <-p.wake:
			for p.rise() && p.handOver() {
			}
		case <-stop:
			return
		}
	}
}

// may says whether anything may be handed over now.
func (p *proposer) may() bool { return p.known && !p.closed && !p.paused }

// handOver packs what waits, gives it to Raft, and says whether it gave any.
func (p *proposer) handOver() bool {
	var finished []outcome
	full := p.full() // may ask the disk: not with the lock
	p.point = p.reached()
	p.mu.Lock()
	again := p.again && !p.anew
	p.anew = false
	switch {
	case !p.may() || p.void:
	case p.again:
		p.repeat()
	default:
		finished = p.pack(full)
	}
	given := len(p.out)
	if given > 0 {
		p.moved = time.Now()
	}
	p.mu.Unlock()
	if given > 0 {
		if p.enter(p.out) != nil {
			p.rest()
		}
		p.counted(given, again)
	}
	clear(p.out)
	p.out = p.out[:0]
	tell(finished)
	return given > 0
}

// repeat puts everything that is under way out again.
func (p *proposer) repeat() {
	p.again = false
	for i := range p.window.len() {
		p.out = append(p.out, p.window.at(i).data)
	}
	if len(p.marked) > 0 {
		p.mark()
	}
}

// pack numbers and encodes as much of the queue as makes one batch. It returns
// the proposals of which every command was refused.
func (p *proposer) pack(full error) (finished []outcome) {
	size, now := 0, time.Now()
	for p.queue.len() > 0 && len(p.ends) < batchesOpen && len(p.out) < batchEntries && size < batchBytes {
		s := *p.queue.at(0)
		if s.packed < len(s.commands) {
			size += p.packEntry(s, full, now)
		}
		if s.packed < len(s.commands) {
			continue
		}
		p.queue.pop()
		if s.open == 0 && s.done != nil {
			finished = append(finished, s.outcome(s.verdict()))
		}
	}
	if len(p.out) > 0 {
		p.ends = append(p.ends, p.next-1)
	}
	p.out = append(p.out, p.plain...)
	clear(p.plain)
	p.plain = p.plain[:0]
	if (len(p.asking) > 0 || p.herald) && len(p.marked) < batchesOpen {
		p.mark()
	}
	return finished
}

// packEntry makes the next entry of a proposal, or refuses its next command,
// and returns about how many bytes it made.
func (p *proposer) packEntry(s *proposal, full error, now time.Time) int {
	from, to, size := s.packed, s.packed, 0
	for to < len(s.commands) && to-from < shareCommands {
		c := &s.commands[to]
		more := commandBytes + len(c.Path) + len(c.Data) + len(c.Owner) + len(c.Once)
		if refusal := p.refuse(c.Kind, more, full); refusal.Code != "" {
			if to > from {
				break
			}
			s.replies[to] = refusal
			s.open--
			s.packed++
			return 0
		}
		if to > from && (c.Kind.Alone() || size+more > shareBytes) {
			break
		}
		to, size = to+1, size+more
		if c.Kind.Alone() {
			break
		}
	}
	p.number(s, from, s.commands[from:to], now)
	p.out = append(p.out, p.window.at(p.window.len()-1).data)
	s.packed = to
	return size
}

// number makes commands of a proposal the next entry under way.
func (p *proposer) number(s *proposal, offset int, commands []state.Command, now time.Time) {
	batch := state.Batch{Peer: p.peer, Incarnation: p.incarnation, First: p.next, Commands: commands}
	p.scratch = batch.Append(p.scratch[:0])
	last := p.next + uint64(len(commands)) - 1
	// The machine keeps what lies in the entry: so each entry is memory of its
	// own, and no more than it needs.
	p.window.push(underWay{first: p.next, last: last, data: bytes.Clone(p.scratch), of: s, offset: offset, at: now})
	p.next = last + 1
}

// refuse answers a command that must not be proposed; its code is empty when
// the command may be.
func (p *proposer) refuse(k state.Kind, size int, full error) state.Reply {
	switch {
	case size > p.largest:
		return state.Reply{Code: vera.TooLarge, Message: fmt.Sprintf("the command has %d bytes; the log takes %d", size, p.largest)}
	case full != nil && (k == state.Push || k == state.Update):
		return state.Reply{Code: vera.Unavailable, Message: full.Error()}
	}
	return state.Reply{}
}

// expire hands commands over that need no number, because they do no harm when
// they come twice or never. Only the leader does.
func (p *proposer) expire(commands []state.Command) {
	p.mu.Lock()
	for chunk := range slices.Chunk(commands, shareCommands) {
		batch := state.Batch{Peer: p.peer, Incarnation: p.incarnation, Commands: chunk}
		p.plain = append(p.plain, batch.Append(nil))
	}
	p.mu.Unlock()
	p.poke()
}
