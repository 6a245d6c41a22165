package actors

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"vera"
	"vera/raft/state"
)

// memory is a Log in memory: a real state machine, applied by one goroutine,
// with the leader's clock of graces. It can be stopped from agreeing on
// anything, and made to lose what it has for slow readers.
type memory struct {
	machine *state.Machine
	feed    *memoryFeed
	wake    chan struct{}
	stop    chan struct{}
	stopped sync.WaitGroup

	mu       sync.Mutex
	queue    []proposals
	barriers []func(uint64, error)
	waiting  []*reached
	expiries []state.Command
	errands  []func() // for the log's goroutine
	timers   map[*time.Timer]bool
	held     bool // nothing is agreed on
	refusing error
	full     func(state.Command) string // why a command is refused; "": it is not
	status   vera.Status
	contact  time.Time
	peers    *state.List
	settled  atomic.Uint64 // index up to which everybody here has been told
	index    uint64
	sequence uint64
	up       uint64 // incarnation
	scratch  []byte
	batches  []int              // sizes of what was proposed together
	between  func()             // called when all is applied and the feed told, before outcomes are
	applied  func(state.Output) // called on the log's goroutine before anybody hears
}

type proposals struct {
	commands []state.Command
	done     func([]state.Reply, error)
}

type reached struct {
	index uint64
	done  func()
}

const testPeer = state.PeerID(7)

func newMemory() *memory {
	l := &memory{
		machine: state.New(), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		timers: map[*time.Timer]bool{}, status: vera.Status{Peer: "a", Leader: "a"},
		peers: state.NewList(1, nil),
	}
	l.feed = &memoryFeed{most: 1 << 16}
	l.rise(0)
	l.stopped.Go(l.run)
	return l
}

func (l *memory) Machine() *state.Machine { return l.machine }
func (l *memory) Peer() state.PeerID      { return testPeer }
func (l *memory) Feed() *memoryFeed       { return l.feed }

func (l *memory) Peers() *state.List {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peers
}

func (l *memory) Status() vera.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Applied = l.machine.Applied()
	s.Committed = max(s.Committed, s.Applied)
	return s
}

// LeaderContact is now unless a test said otherwise.
func (l *memory) LeaderContact() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.contact.IsZero() {
		return time.Now()
	}
	return l.contact
}

func (l *memory) Propose(commands []state.Command, done func([]state.Reply, error)) {
	l.with(func() {
		l.batches = append(l.batches, len(commands))
		if err := l.refusing; err != nil {
			go done(make([]state.Reply, len(commands)), err)
			return
		}
		l.queue = append(l.queue, proposals{commands, done})
	})
}

func (l *memory) Barrier(done func(uint64, error)) {
	l.with(func() { l.barriers = append(l.barriers, done) })
}

func (l *memory) WhenApplied(index uint64, done func()) (cancel func()) {
	w := &reached{index, done}
	l.with(func() { l.waiting = append(l.waiting, w) })
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		w.done = nil
	}
}

// with changes something and lets the goroutine look.
func (l *memory) with(do func()) {
	l.mu.Lock()
	do()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hold stops the log from agreeing on anything, or lets it go on.
func (l *memory) hold(held bool) { l.with(func() { l.held = held }) }

func (l *memory) run() {
	for {
		select {
		case <-l.wake:
			for l.step() {
			}
		case <-l.stop:
			return
		}
	}
}

// step does what has come so far.
func (l *memory) step() bool {
	l.mu.Lock()
	if l.held {
		l.mu.Unlock()
		return false
	}
	queue, barriers, expiries, errands := l.queue, l.barriers, l.expiries, l.errands
	l.queue, l.barriers, l.expiries, l.errands = nil, nil, nil, nil
	l.mu.Unlock()
	for _, errand := range errands {
		errand()
	}
	for _, c := range expiries {
		l.apply(state.Batch{Commands: []state.Command{c}})
	}
	replies := make([][]state.Reply, len(queue))
	for i, p := range queue {
		replies[i] = l.takeAll(p.commands)
	}
	if l.between != nil && len(queue) > 0 {
		l.between()
	}
	for i, p := range queue {
		p.done(replies[i], nil)
	}
	if len(barriers) > 0 {
		l.index++
		l.machine.Advance(l.index)
		l.settled.Store(l.index)
	}
	for _, done := range barriers {
		done(l.index, nil)
	}
	l.tellWaiting()
	return len(queue)+len(barriers)+len(expiries)+len(errands) > 0
}

func (l *memory) tellWaiting() {
	var ready []func()
	l.mu.Lock()
	kept := l.waiting[:0]
	for _, w := range l.waiting {
		switch {
		case w.done == nil:
		case w.index <= l.machine.Applied():
			ready = append(ready, w.done)
		default:
			kept = append(kept, w)
		}
	}
	l.waiting = kept
	l.mu.Unlock()
	for _, done := range ready {
		done()
	}
}

// takeAll applies what is not refused.
func (l *memory) takeAll(commands []state.Command) []state.Reply {
	l.mu.Lock()
	full := l.full
	l.mu.Unlock()
	if full == nil {
		return l.applyAll(commands)
	}
	replies := make([]state.Reply, len(commands))
	for i, c := range commands {
		if why := full(c); why != "" {
			replies[i] = state.Reply{Code: vera.Unavailable, Message: why}
		} else {
			replies[i] = l.applyAll(commands[i : i+1])[0]
		}
	}
	return replies
}

// applyAll puts commands into entries as Raft would.
func (l *memory) applyAll(commands []state.Command) []state.Reply {
	var replies []state.Reply
	for len(commands) > 0 {
		n := 1
		for n < len(commands) && commands[0].Kind > state.Remove && commands[n].Kind > state.Remove {
			n++
		}
		out := l.apply(state.Batch{Peer: testPeer, Incarnation: l.up, First: l.sequence + 1, Commands: commands[:n]})
		l.sequence += uint64(n)
		if out.Skipped {
			panic("the machine skipped a batch")
		}
		replies = append(replies, out.Replies...)
		commands = commands[n:]
	}
	return replies
}

func (l *memory) apply(b state.Batch) state.Output {
	l.index++
	l.scratch = b.Append(l.scratch[:0])
	out := l.machine.Apply(l.index, append([]byte(nil), l.scratch...))
	for _, c := range out.Sessions {
		if c.What == state.Detached {
			l.time(c)
		}
	}
	if l.applied != nil {
		l.applied(out)
	}
	l.feed.add(out)
	l.settled.Store(l.index)
	return out
}

// rise begins an incarnation.
func (l *memory) rise(grace time.Duration) {
	l.up++
	l.apply(state.Batch{Peer: testPeer, Incarnation: l.up, First: 1, Commands: []state.Command{{Kind: state.PeerUp, Grace: grace}}})
	l.sequence = 1
}

// gone has the log declare this peer gone, which lives and goes on as its next
// incarnation.
func (l *memory) gone(grace time.Duration) {
	l.with(func() {
		l.errands = append(l.errands, func() {
			l.apply(state.Batch{Commands: []state.Command{{Kind: state.PeerGone, Peer: testPeer, Incarnation: l.up, Grace: grace}}})
			l.rise(grace)
		})
	})
}

// time starts the clock of a doubt.
func (l *memory) time(c state.SessionChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(c.Grace, func() {
		l.with(func() {
			delete(l.timers, timer)
			l.expiries = append(l.expiries, state.Command{Kind: state.Expire, Session: c.Session, Life: c.Life, Since: c.Since})
		})
	})
	l.timers[timer] = true
}

// operate applies commands that no actor of this peer knows of.
func (l *memory) operate(commands ...state.Command) error {
	word := make(chan error, 1)
	l.Propose(commands, func(_ []state.Reply, err error) { word <- err })
	select {
	case err := <-word:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("the log did not take the commands")
	}
}

// setPeers changes the cluster's list.
func (l *memory) setPeers(peers *state.List) {
	l.with(func() {
		before := l.peers
		l.peers = peers
		l.errands = append(l.errands, func() {
			l.index++
			l.machine.Advance(l.index)
			l.feed.add(state.Output{Index: l.index, Changes: []state.Change{{Path: vera.PeersPath, Before: before, After: peers}}})
			l.settled.Store(l.index)
		})
	})
}

// check has the machine examine itself.
func (l *memory) check() error {
	word := make(chan error, 1)
	l.with(func() { l.errands = append(l.errands, func() { word <- l.machine.Check() }) })
	return <-word
}

func (l *memory) close() {
	close(l.stop)
	l.stopped.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for timer := range l.timers {
		timer.Stop()
	}
}

// memoryFeed is a Feed of bounded size.
type memoryFeed struct {
	mu    sync.Mutex
	all   []state.Output
	most  int
	floor uint64
	last  uint64
	pokes []func()
}

func (f *memoryFeed) add(out state.Output) {
	f.mu.Lock()
	f.last = out.Index
	if len(out.Changes)+len(out.Sessions) > 0 {
		out.Replies = nil
		f.all = append(f.all, out)
	}
	for len(f.all) > f.most {
		f.floor = f.all[0].Index
		f.all = f.all[1:]
	}
	pokes := f.pokes
	f.mu.Unlock()
	for _, poke := range pokes {
		poke()
	}
}

// restart forgets all: the machine loaded a snapshot.
func (f *memoryFeed) restart(index uint64) {
	f.mu.Lock()
	f.all, f.floor = nil, index
	f.mu.Unlock()
	f.add(state.Output{Index: index})
}

func (f *memoryFeed) Poke(poke func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pokes = append(f.pokes, poke)
}

func (f *memoryFeed) Index() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *memoryFeed) Read(after uint64, dst []state.Output) (n int, missed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after < f.floor {
		return 0, true
	}
	for len(f.all) > 0 && f.all[0].Index <= after {
		f.all = f.all[1:] // there is one reader
	}
	return copy(dst, f.all), false
}
