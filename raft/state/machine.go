package state

import (
	"fmt"
	"sync"
	"sync/atomic"

	"vera"
)

// Machine is the replicated state. One goroutine writes it: it calls Apply,
// Advance, Snapshot, Restore and Check. Any number of others read it, without
// locks, at the same time: all other methods.
type Machine struct {
	world atomic.Pointer[world] // Restore replaces it whole
}

// world is everything that one log made.
type world struct {
	applied atomic.Uint64
	hash    atomic.Uint64 // rolling, of all applied entries and their indexes

	lists    sync.Map // vera.Path → *holder; of lists that are not empty, and those that the last entry emptied
	sessions sync.Map // vera.SessionID → *session
	peers    atomic.Pointer[[]*peer]

	sessionCount, itemCount, listCount, watchCount atomic.Int64

	// The rest belongs to the applying goroutine.
	index   uint64      // of the entry under way
	header  header      // its batch
	command Command     // the command under way
	touched []*holder   // lists that the last entry changed
	edited  []*session  // sessions that the entry under way changed
	leaving []departure // items that the entry under way takes with their sessions
	out     Output
}

// peer is one data directory that ever wrote to the log. It is replaced, not
// changed, when another incarnation comes or this one goes.
type peer struct {
	id          PeerID
	incarnation uint64
	gone        bool          // declared gone: nothing of this incarnation is accepted any more
	last        atomic.Uint64 // number of the last command applied
}

// Peer is what the machine knows of a peer that ever wrote to the log.
type Peer struct {
	Peer        PeerID
	Incarnation uint64 // the latest
	Sequence    uint64 // number of its last command that was applied
	Gone        bool   // it was declared gone; PeerUp of a later incarnation brings it back
}

// New returns an empty machine that has applied nothing.
func New() *Machine {
	m := &Machine{}
	m.world.Store(newWorld())
	return m
}

func newWorld() *world {
	w := &world{}
	w.peers.Store(&[]*peer{})
	return w
}

// Apply does what an entry says and returns what came of it. The index must be
// above all before. An entry that ParseBatch refuses panics: the log is ours,
// and a peer that cannot read it must not go on. The entry must not change
// afterwards, since items keep parts of it.
func (m *Machine) Apply(index uint64, entry []byte) Output {
	return m.world.Load().apply(index, entry)
}

// Advance says that the log went on up to index with entries that hold no
// commands. An index that is applied already does nothing.
func (m *Machine) Advance(index uint64) {
	w := m.world.Load()
	if index > w.applied.Load() {
		w.sweep()
		w.applied.Store(index)
	}
}

func (w *world) apply(index uint64, entry []byte) Output {
	if applied := w.applied.Load(); index <= applied {
		panic(fmt.Sprintf("entry %d comes after entry %d was applied", index, applied))
	}
	w.sweep()
	w.index = index
	d := decoder{rest: entry}
	w.header = d.header()
	w.out = Output{Index: index, Peer: w.header.peer, Incarnation: w.header.incarnation, First: w.header.first}
	for i := 0; i < w.header.count && d.err == nil; i++ {
		d.command(w.header, i, &w.command)
		if d.err == nil {
			w.obey(i)
		}
	}
	if err := d.end(); err != nil {
		panic(fmt.Sprintf("entry %d of the log is malformed: %v", index, err))
	}
	w.hash.Store(mix(mixIndex(w.hash.Load(), index), entry))
	w.publish()
	out := w.out
	w.out = Output{}
	return out
}

// obey admits the batch with its first command, then does each.
func (w *world) obey(i int) {
	if i == 0 && !w.admit() {
		w.out.Skipped = true
	}
	if w.out.Skipped {
		return
	}
	if i == 0 {
		w.makeRoom()
	}
	reply := w.execute(&w.command)
	reply.Index = w.index
	w.out.Replies = append(w.out.Replies, reply)
}

// makeRoom allocates what the entry's output needs; for a command that travels
// alone in one piece.
func (w *world) makeRoom() {
	if !w.command.Kind.Alone() {
		w.out.Replies = make([]Reply, 0, w.header.count)
		return
	}
	room := new(struct {
		reply  [1]Reply
		change [1]Change
	})
	w.out.Replies, w.out.Changes = room.reply[:0], room.change[:0]
}

func (w *world) execute(c *Command) Reply {
	switch c.Kind {
	case Open:
		return w.open(c)
	case PeerUp:
		return w.peerUp(c)
	case PeerGone:
		return w.peerGone(c)
	}
	if c.Kind&Skippable != 0 {
		return Reply{Code: vera.InternalError, Message: "this peer does not know the command"}
	}
	s := w.living(c)
	if s == nil {
		return Reply{Code: vera.SessionEnded, Message: "the session ended"}
	}
	switch c.Kind {
	case Push:
		return w.push(s, c)
	case Update:
		return w.update(s, c)
	case Remove:
		return w.remove(s, c)
	case Attach:
		return w.attach(s, c.Grace)
	case Detach:
		return w.detach(s, c)
	case Watch:
		return w.watch(s, c)
	case Unwatch:
		return w.unwatch(s, c)
	case End:
		return w.end(s, c.Reason)
	case Expire:
		return w.expire(s, c)
	}
	panic(fmt.Sprintf("a %s that nobody obeys", c.Kind))
}

// living returns the session that a command names, nil when that life is over.
// A life that the same entry opened cannot be named yet.
func (w *world) living(c *Command) *session {
	s := w.session(c.Session)
	if s == nil || s.newest().facts.life != c.Life || c.Life >= w.index {
		return nil
	}
	return s
}

func (w *world) session(id vera.SessionID) *session {
	if v, found := w.sessions.Load(id); found {
		return v.(*session)
	}
	return nil
}
