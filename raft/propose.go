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

// proposer numbers the commands of this peer and hands them over to Raft, in
// order, again and again until the applied log says what became of them. The
// machine applies every number once and in order, so that handing over again
// never doubles anything.
//
// Nothing is learnt from hashicorp/raft's futures: they are dropped. What was
// applied is learnt from the log (answer), and that something may have been
// lost from an error of enter, from another leader (route), or from silence
// (tick).
type proposer struct {
	peer        state.PeerID
	incarnation uint64
	timeout     time.Duration // from Propose or Barrier to the answer
	largest     int           // bytes of a command; a larger one is refused
	// enter gives entries, in order, to whoever leads. It may wait, for a second
	// at most; an error says that some may not have got there. Only run calls it.
	enter   func(entries [][]byte) error
	full    func() error // says why nothing may grow now; nil: it may. Only run calls it
	counted func(entries int, repeated bool)
	wake    chan struct{} // of capacity 1
	out     [][]byte      // run's own, as is scratch: what it hands over now
	scratch []byte

	mu     sync.Mutex
	known  bool            // there is a leader, here or elsewhere
	again  bool            // what is under way must be handed over again, from its start
	pause  time.Duration   // before that, since enter failed; 0: it did not, or there is another leader
	paused bool            // until then nothing is handed over
	closed bool            // nothing is taken any more
	queue  fifo[*proposal] // not handed over, or only in part; oldest first
	window fifo[underWay]  // handed over and not answered; numbers rising
	plain  [][]byte        // entries without a number, to be handed over once
	next   uint64          // number of the next command
	ends   []uint64        // last numbers of the batches under way, at most batchesOpen
	late   uint64          // commands answered after their proposal was given up
	moved  time.Time       // when something was last handed over or answered
	timer  *time.Timer     // runs while anything waits
	barriers
}

// proposal is one call of Propose.
type proposal struct {
	commands []state.Command
	replies  []state.Reply
	packed   int // commands handed over or refused
	open     int // commands without a reply
	due      time.Time
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
	of          *proposal
	offset      int // of its first command in the proposal
}

func newProposer(peer state.PeerID, incarnation uint64, timeout time.Duration, enter func([][]byte) error) *proposer {
	return &proposer{
		peer: peer, incarnation: incarnation, timeout: timeout, enter: enter,
		largest: 1 << 20,
		full:    func() error { return nil },
		counted: func(int, bool) {},
		wake:    make(chan struct{}, 1),
		next:    1,
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

func (p *proposer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run hands over until stop is closed.
func (p *proposer) run(stop <-chan struct{}) {
	for {
		select {
		case <-p.wake:
			for p.handOver() {
			}
		case <-stop:
			return
		}
	}
}

// handOver packs what waits, gives it to Raft, and says whether it gave any.
func (p *proposer) handOver() bool {
	var finished []outcome
	full := p.full() // may ask the disk: not with the lock
	p.mu.Lock()
	repeated := p.again
	switch {
	case !p.known || p.closed || p.paused:
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
		p.counted(given, repeated)
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
	p.markAgain()
}

// pack numbers and encodes as much of the queue as makes one batch. It returns
// the proposals of which every command was refused.
func (p *proposer) pack(full error) (finished []outcome) {
	size := 0
	for p.queue.len() > 0 && len(p.ends) < batchesOpen && len(p.out) < batchEntries && size < batchBytes {
		s := *p.queue.at(0)
		if s.packed < len(s.commands) {
			size += p.packEntry(s, full)
		}
		if s.packed < len(s.commands) {
			continue
		}
		p.queue.pop()
		if s.open == 0 && s.done != nil {
			finished = append(finished, s.outcome(nil))
		}
	}
	if len(p.out) > 0 {
		p.ends = append(p.ends, p.next-1)
	}
	p.out = append(p.out, p.plain...)
	clear(p.plain)
	p.plain = p.plain[:0]
	p.mark()
	return finished
}

// packEntry makes the next entry of a proposal, or refuses its next command,
// and returns about how many bytes it made.
func (p *proposer) packEntry(s *proposal, full error) int {
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
	batch := state.Batch{Peer: p.peer, Incarnation: p.incarnation, First: p.next, Commands: s.commands[from:to]}
	p.scratch = batch.Append(p.scratch[:0])
	// The machine keeps what lies in the entry: so each entry is memory of its
	// own, and no more than it needs.
	entry := underWay{first: p.next, last: p.next + uint64(to-from) - 1, data: bytes.Clone(p.scratch), of: s, offset: from}
	p.window.push(entry)
	p.out = append(p.out, entry.data)
	p.next, s.packed = entry.last+1, to
	return size
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
