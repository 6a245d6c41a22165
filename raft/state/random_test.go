package state

import (
	"fmt"
	"math/rand/v2"
	"time"

	"vera"
)

// Few of each, so that commands meet.
var (
	somePaths    = []vera.Path{"/data/a", "/data/b", "/data/b/c"}
	someSessions = []vera.SessionID{{1}, {2}, {2, 1}, {3}, {0xff}}
	somePeers    = []PeerID{1, 7, 1 << 63}
	someKeys     = []string{"k", "kk", "l"}
	someGraces   = []time.Duration{0, 0, time.Second, 2 * time.Second, 5 * time.Second}
)

// chance makes batches that a cluster could write, and some that only a
// confused one would. It looks at the model to know what would be interesting.
type chance struct {
	*rand.Rand
	model *model
	next  map[PeerID]*numbering
	limit int // of items on a list
}

// numbering is what a peer believes its next batch is.
type numbering struct{ incarnation, next uint64 }

func newChance(seed uint64, m *model, limit int) *chance {
	c := &chance{rand.New(rand.NewPCG(seed, 42)), m, map[PeerID]*numbering{}, limit}
	for _, p := range somePeers {
		c.next[p] = &numbering{}
	}
	return c
}

func pick[T any](c *chance, from []T) T { return from[c.IntN(len(from))] }

// one says yes once in n times.
func (c *chance) one(n int) bool { return c.IntN(n) == 0 }

func (c *chance) batch() Batch {
	id := pick(c, somePeers)
	n := c.next[id]
	if p := c.model.peer(id); p != nil && c.one(3) { // it looks at the log and recovers
		n.incarnation, n.next = p.incarnation, p.last+1
		if p.gone {
			return c.up(id, n)
		}
	}
	switch {
	case c.one(40) || n.incarnation == 0:
		return c.up(id, n)
	case c.one(40):
		return Batch{Peer: id, Commands: []Command{c.gone()}}
	case c.one(15):
		return Batch{Peer: id, Commands: []Command{c.expire(), c.expire()}}
	}
	b := Batch{Peer: id, Incarnation: n.incarnation, First: n.next}
	if c.one(2) {
		b.Commands = []Command{c.itemCommand()}
	} else {
		for range 1 + c.IntN(3) {
			b.Commands = append(b.Commands, c.command())
		}
	}
	if c.one(30) {
		return c.confuse(b)
	}
	n.next += uint64(len(b.Commands))
	return b
}

// up is a peer's restart.
func (c *chance) up(id PeerID, n *numbering) Batch {
	n.incarnation++
	b := Batch{Peer: id, Incarnation: n.incarnation, First: 1, Commands: []Command{{Kind: PeerUp, Grace: pick(c, someGraces)}}}
	for range c.IntN(3) {
		b.Commands = append(b.Commands, c.command())
	}
	n.next = 1 + uint64(len(b.Commands))
	if c.one(10) { // the same again, later, or of an incarnation that is over
		n.incarnation--
		n.next = 1 << 40
	}
	return b
}

// confuse makes a duplicate, a gap, an overlap or a voice from the past of a batch.
func (c *chance) confuse(b Batch) Batch {
	switch c.IntN(4) {
	case 0:
		b.First = max(2, b.First-min(b.First, uint64(c.IntN(3))))
	case 1:
		b.First += uint64(1 + c.IntN(2))
	case 2:
		b.Incarnation = max(1, b.Incarnation-1)
	case 3:
		b.Incarnation++
	}
	b.First = max(2, b.First)
	return b
}

// session names a session, most often in its present life.
func (c *chance) session(k Kind) Command {
	id := pick(c, someSessions)
	if len(c.model.sessions) > 0 && !c.one(5) {
		id = pick(c, c.model.sessions).id
	}
	cmd := Command{Kind: k, Session: id}
	if s := c.model.session(id); s != nil {
		cmd.Life = s.life
	}
	if c.one(20) {
		cmd.Life = uint64(c.IntN(int(c.model.index) + 3))
	}
	return cmd
}

func (c *chance) itemCommand() Command {
	cmd := c.session(pick(c, []Kind{Push, Push, Push, Update, Remove}))
	cmd.Path = pick(c, somePaths)
	l := c.model.list(cmd.Path)
	if c.one(4) {
		cmd.Conditional, cmd.IfMatch = true, l.etag()
		if c.one(3) {
			cmd.IfMatch = uint64(c.IntN(int(c.model.index) + 1))
		}
	}
	if cmd.Kind != Push {
		cmd.Version = uint64(c.IntN(int(c.model.index) + 2))
		if len(l.items) > 0 && !c.one(5) {
			it := l.items[c.IntN(len(l.items))]
			cmd.Version = it.version
			if !c.one(4) {
				cmd.Session, cmd.Life = it.session, it.life
			}
		}
	}
	if cmd.Kind == Push {
		cmd.Owner = fmt.Sprintf("10.0.0.%d", c.IntN(3))
		cmd.SessionItems, cmd.ListItems = c.limit+c.IntN(3), c.limit+c.IntN(3)
		if c.one(3) {
			cmd.Once = pick(c, someKeys)
		}
	}
	if cmd.Kind != Remove {
		cmd.Data = fmt.Appendf(nil, `{"n":%d}`, c.IntN(3))
	}
	return cmd
}

// command is one that may share an entry.
func (c *chance) command() Command {
	kind := pick(c, []Kind{Open, Open, Open, Attach, Attach, Detach, Detach, Detach, Watch, Watch, Unwatch, End, Expire, Skippable | 5})
	if kind == Expire {
		return c.expire()
	}
	cmd := c.session(kind)
	switch kind {
	case Open:
		cmd.Life = 0
		cmd.Grace = pick(c, someGraces)
	case Attach:
		cmd.Grace = pick(c, someGraces)
	case Detach:
		cmd.Grace, cmd.Clean = pick(c, someGraces), c.one(2)
	case Watch:
		cmd.Path, cmd.Limit, cmd.Items = pick(c, somePaths), c.IntN(4)-1, c.one(2)
		cmd.SessionWatches = 1 + c.IntN(3)
		c.order(&cmd)
	case Unwatch:
		cmd.Path = pick(c, somePaths)
		c.order(&cmd)
	case End:
		if !c.one(4) { // seldom, or nobody lives long
			cmd.Life = 0
		}
		cmd.Reason = pick(c, []vera.Reason{vera.Closed, vera.Ended})
	case Skippable | 5:
		return Command{Kind: kind, Data: []byte("from the future")}
	}
	return cmd
}

// order has a watch be asked for a while ago, on a connection that came a while
// before, or on the first of its session.
func (c *chance) order(cmd *Command) {
	cmd.Known = c.model.index - min(c.model.index, uint64(c.IntN(20)))
	if !c.one(3) {
		cmd.Arrival = cmd.Known - min(cmd.Known, uint64(c.IntN(20)))
	}
	if c.one(20) {
		cmd.Known = KnowsAll
	}
}

// expire is about an open doubt, most often.
func (c *chance) expire() Command {
	cmd := c.session(Expire)
	if s := c.model.session(cmd.Session); s != nil {
		cmd.Since = s.since
	}
	if c.one(5) {
		cmd.Since = uint64(c.IntN(int(c.model.index) + 1))
	}
	return cmd
}

func (c *chance) gone() Command {
	id := pick(c, somePeers)
	cmd := Command{Kind: PeerGone, Peer: id, Incarnation: c.next[id].incarnation, Grace: pick(c, someGraces)}
	if c.one(4) {
		cmd.Incarnation = uint64(c.IntN(4))
	}
	return cmd
}
