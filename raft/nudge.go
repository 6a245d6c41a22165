package raft

import (
	"context"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A follower learns from hashicorp/raft that an entry is committed only with
// the next entries, or when CommitTimeout is over. So as soon as the leader
// applies something, each follower that was not told yet is nudged: it gets an
// append without entries, which needs no answer.
//
// A nudge says no more than what any append of this leader might say: behind
// the last entry that the follower is known to have of this leader's log
// nothing comes, and all up to it that is committed is committed. It may be
// lost, come late or twice.
type nudges struct {
	transport *transport
	commit    func() uint64                  // what is committed, as of now
	leads     func(term uint64) bool         // whether this peer leads that term, as of now
	follows   func(hraft.ServerAddress) bool // whether that is the address of a peer in the configuration
	running   sync.WaitGroup                 // followers' goroutines
	mu        sync.Mutex                     // guards what follows
	all       map[hraft.ServerAddress]*follower
}

// follower is what is known of a peer that this one replicates to.
type follower struct {
	wake chan struct{} // of capacity 1: it may have to be nudged
	back chan struct{} // of capacity 1: it answered a heartbeat
	gone chan struct{} // closed when it is no follower any more

	mu     sync.Mutex
	header hraft.RPCHeader // of this peer
	term   uint64          // in which the rest was learnt
	index  uint64          // of the last entry that it is known to have of our log
	of     uint64          // the term of that entry
	told   uint64          // the commit index that it was told
}

func newNudges(t *transport) *nudges {
	return &nudges{
		transport: t, all: map[hraft.ServerAddress]*follower{}, commit: func() uint64 { return 0 },
		leads: func(uint64) bool { return false }, follows: func(hraft.ServerAddress) bool { return true },
	}
}

// of returns what is known of a peer.
func (n *nudges) of(a hraft.ServerAddress) *follower {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.all[a]
	if f == nil {
		n.forget()
		f = &follower{wake: make(chan struct{}, 1), back: make(chan struct{}, 1), gone: make(chan struct{})}
		n.all[a] = f
		n.running.Go(func() { n.run(a, f) })
	}
	return f
}

// forget ends what is done for peers that follow no more, and closes the lines
// to them.
func (n *nudges) forget() {
	for a, f := range n.all {
		if !n.follows(a) {
			delete(n.all, a)
			close(f.gone)
			n.transport.drop(a)
		}
	}
}

// committed has every follower nudged. It does not wait.
func (n *nudges) committed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.all {
		poke(f.wake)
	}
}

// poke tells whoever waits, now or later, that there is something to do.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sending notes that an append tells a peer of what is committed.
func (f *follower) sending(a *hraft.AppendEntriesRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Term > f.term {
		f.header, f.term, f.index, f.of, f.told = a.RPCHeader, a.Term, 0, 0, 0
	}
	if a.Term == f.term {
		f.told = max(f.told, a.LeaderCommitIndex)
	}
}

// has notes what a peer has of our log, since it took an append.
func (f *follower) has(a *hraft.AppendEntriesRequest) {
	index, of := a.PrevLogEntry, a.PrevLogTerm
	if n := len(a.Entries); n > 0 {
		index, of = a.Entries[n-1].Index, a.Entries[n-1].Term
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.Term == f.term && index > f.index {
		f.index, f.of = index, of
	}
}

// due returns the nudge that a follower is to get; nil: none. commit was read
// before: if this peer still leads the follower's term then it was committed as
// this term knows it.
func (f *follower) due(commit uint64, leads func(term uint64) bool) *hraft.AppendEntriesRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	commit = min(commit, f.index)
	if commit <= f.told || !leads(f.term) {
		return nil
	}
	f.told = commit
	return &hraft.AppendEntriesRequest{RPCHeader: f.header, Term: f.term, PrevLogEntry: f.index, PrevLogTerm: f.of, LeaderCommitIndex: commit}
}

func (n *nudges) run(a hraft.ServerAddress, f *follower) {
	var l *line
	defer func() {
		if l != nil {
			l.Close()
		}
	}()
	for {
		select {
		case <-f.wake:
		case <-f.gone:
			return
		case <-n.transport.closed:
			return
		}
		due := f.due(n.commit(), n.leads)
		if due == nil || n.transport.mayNot() != nil {
			continue
		}
		l = n.send(a, l, due)
	}
}

// send sends a nudge on a line, or a new one, and returns the line for the
// next.
func (n *nudges) send(a hraft.ServerAddress, l *line, due *hraft.AppendEntriesRequest) *line {
	if l == nil {
		var err error
		if l, err = n.transport.dial(a); err != nil {
			return nil
		}
	}
	_ = l.SetWriteDeadline(time.Now().Add(sendWithin))
	l.encoder.begin(sayNudge)
	l.encoder.append(due)
	if err := l.encoder.send(l.Conn); err != nil {
		l.Close()
		return nil
	}
	return l
}

// dial opens a line to a peer.
func (t *transport) dial(to hraft.ServerAddress) (*line, error) {
	at, err := targetOf(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendWithin)
	defer cancel()
	c, err := t.network.dial(ctx, at, streamRaft)
	if err != nil {
		return nil, err
	}
	return newLine(c), nil
}

// prompt is the machine as hashicorp/raft sees it, with those told of a commit
// who go on with it before it is applied here.
type prompt struct {
	*fsm
	await     func(index uint64) // until the log is written so far
	committed func([]*hraft.Log)
}

// ApplyBatch tells of the commit and applies entries.
func (p prompt) ApplyBatch(logs []*hraft.Log) []any {
	p.await(logs[len(logs)-1].Index)
	p.committed(logs)
	return p.fsm.ApplyBatch(logs)
}
