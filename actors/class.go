package actors

import (
	"slices"
	"sync"
	"sync/atomic"

	"vera"
	"vera/raft/state"
)

// class is all watches of one path that have the same options, and so are told
// the same.
type class struct {
	path  vera.Path
	limit int
	items bool
	size  atomic.Int32 // of lookouts
	since atomic.Int64 // by the system's clock: when the last change that counts was read

	// The watch path's own.
	lookouts []*lookout
	stale    int // about how many items what was told last may hold in memory for nothing

	texts *texts // the path's
}

// refreshAfter is how many items of the past a watch with a limit may keep in
// memory while nothing happens among those that it shows.
const refreshAfter = 256

// concerned says whether a change of the list is to be told to the class. It
// also is when watches that hear nothing have kept an old state for long: they
// then take the present one without a word.
func (c *class) concerned(before, after *state.List) (concerned, silent bool) {
	if before != nil && c.limit != vera.NoLimit && c.path != vera.PeersPath {
		added, updated, removed := state.Diff(before, after, c.limit)
		if len(added)+len(updated)+len(removed) == 0 {
			c.stale += 1 + max(0, before.Len()-after.Len())
			return c.stale > refreshAfter, true
		}
	}
	return true, false
}

// add takes a lookout in.
func (c *class) add(s *lookout) {
	s.slot = len(c.lookouts)
	c.lookouts = append(c.lookouts, s)
	c.size.Store(int32(len(c.lookouts)))
}

// remove takes one out, if it is there.
func (c *class) remove(s *lookout) {
	if s.slot >= len(c.lookouts) || c.lookouts[s.slot] != s {
		return
	}
	last := len(c.lookouts) - 1
	c.lookouts[s.slot] = c.lookouts[last]
	c.lookouts[s.slot].slot = s.slot
	c.lookouts[last] = nil
	c.lookouts = c.lookouts[:last]
	c.size.Store(int32(last))
}

// mark tells every lookout that there is something to look at.
func (c *class) mark(by *crowd) {
	c.stale = 0
	for _, s := range c.lookouts {
		s.mark(by)
	}
}

// texts are the notifications of a path that were encoded last, to be shared
// by all who are to be told the same. There are few, only of classes with
// several watches, and only of the list's last state.
type texts struct {
	mu   sync.Mutex
	ring [8]text
	next int
}

// text is what turns a watcher of one state of a list into one of another.
type text struct {
	class    *class
	from, to *state.List // from nil: a reset
	index    uint64
	bytes    []byte // nil: nothing is to be told
}

// forget drops what led to states before one.
func (t *texts) forget(before *state.List) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.ring {
		if to := t.ring[i].to; to != nil && to.Changed() < before.Changed() {
			t.ring[i] = text{}
		}
	}
}

// notify returns the notification that leads from one state of the list to
// another, nil when there is no difference to be told, and the index that it
// carries: index, or another one at which the list was the same, but not below
// least. from nil asks for a reset.
func (c *class) notify(from, to *state.List, index, least uint64, by vera.OwnerShown) ([]byte, uint64) {
	if c.size.Load() < 2 {
		return c.encode(from, to, index, by), index
	}
	// Whoever comes first encodes, the others wait for it: as long as the
	// encoding takes.
	c.texts.mu.Lock()
	defer c.texts.mu.Unlock()
	for i := range c.texts.ring {
		if t := &c.texts.ring[i]; t.class == c && t.to == to && t.from == from && t.index >= least {
			return t.bytes, t.index
		}
	}
	bytes := c.encode(from, to, index, by)
	c.texts.ring[c.texts.next] = text{c, from, to, index, bytes}
	c.texts.next = (c.texts.next + 1) % len(c.texts.ring)
	return bytes, index
}

// encode makes a notification. The cluster's list is always told whole: its
// order may change alone, which no difference says. So is a list of which items
// left while this peer was away and then loaded a snapshot: it has no reasons.
func (c *class) encode(from, to *state.List, index uint64, by vera.OwnerShown) []byte {
	n := vera.Notification{Path: c.path, Index: index, ETag: to.ETag()}
	switch {
	case from == nil:
		n.Reset = true
	case c.path == vera.PeersPath && from.ETag() != to.ETag():
		n.Reset = true
	default:
		n.Added, n.Updated, n.Removed = state.Diff(from, to, c.limit)
		if len(n.Added)+len(n.Updated)+len(n.Removed) == 0 {
			return nil
		}
		if slices.ContainsFunc(n.Removed, func(it *vera.Item) bool { return it.Reason == vera.Stays }) {
			n = vera.Notification{Path: c.path, Index: index, ETag: to.ETag(), Reset: true} // nobody here saw why they left
		}
	}
	if n.Reset || c.items {
		n.Items = to.First(c.limit)
	}
	return encoded(func(dst []byte) []byte { return vera.AppendNotification(dst, n, by) })
}

// watcher is who a lookout belongs to.
type watcher interface {
	// wake takes note of a lookout that was marked. It does not wait.
	wake(s *lookout, by *crowd)
}

// lookout is one watch of one connection or one HTTP client.
//
// It does not say what changed, only that something did: whoever owns it looks
// at the list when there is room to tell it, and tells the difference from
// what was told last. So what waits for a slow reader is one state of a list.
type lookout struct {
	path   vera.Path
	class  *class // set by the watch path that took it in, before it begins
	owner  watcher
	marked atomic.Bool

	slot   int  // in the class; the watch path's
	joined bool // the watch shard's

	// The owner's, under its lock.
	next  *lookout    // among those that are marked
	told  *state.List // what was told last; nil: nothing, or it does not count any more
	begun bool        // there is a beginning: the answer to watch was given, or a reset is due
	over  bool
}

// mark lets the owner know, once until it looks.
func (s *lookout) mark(by *crowd) {
	if !s.marked.Load() && s.marked.CompareAndSwap(false, true) {
		s.owner.wake(s, by)
	}
}

// news returns what is to be told now, nil for nothing, and its index, which
// is not below least. The caller holds the owner's lock.
func (s *lookout) news(y *System, least uint64) ([]byte, uint64) {
	s.marked.Store(false) // before the look at the list: a change after it marks again
	if s.over || !s.begun {
		return nil, 0
	}
	now, index := y.list(s.path)
	if now == s.told {
		return nil, 0
	}
	bytes, at := s.class.notify(s.told, now, index, least, y.options.Owner)
	s.told = now
	return bytes, at
}

// crowd has many mailboxes emptied by few goroutines: starting one for each
// connection that has something to read costs more than the telling.
type crowd struct{ job }

// crowdSize is how many mailboxes share a goroutine: few enough that all cores
// have work, and that nobody waits long for the writes of those before.
const crowdSize = 32

func (c *crowd) post(b *mailbox, m message) {
	switch {
	case !b.put(m):
		return
	case c.first == nil:
		c.first = b
		return
	case c.rest == nil:
		c.rest = make([]*mailbox, 0, crowdSize-1)
	}
	if c.rest = append(c.rest, b); len(c.rest) == cap(c.rest) {
		c.start()
	}
}

// start has the mailboxes emptied that have gathered.
func (c *crowd) start() {
	if c.first != nil {
		c.first.kind.runners.run(c.job)
		c.job = job{}
	}
}
