package history

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"vera"
)

const (
	// pieceOperations is how many operations are put in an order at once.
	pieceOperations = 5_000
	// decideWithin bounds how long an order is looked for.
	decideWithin = 30 * time.Second
)

// checkLinearizable looks, per list, for an order of its operations that real
// time allows and that explains every answer (porcupine; Lowe, "Testing for
// linearizability", 2017). It does not believe the indexes: they are values
// like others.
func (c *checker) checkLinearizable() {
	for _, path := range slices.Sorted(maps.Keys(c.lists)) {
		history, blurred := c.lists[path].history(c)
		from := standing{blurred: blurred}
		for _, piece := range pieces(history) {
			if !c.linearizable(path, from, piece) {
				break
			}
			from = replay(from, piece)
		}
	}
}

// linearizable judges one piece.
func (c *checker) linearizable(path string, from standing, piece []*deed) bool {
	history := make([]porcupine.Operation, len(piece))
	for i, d := range piece {
		history[i] = porcupine.Operation{Input: d, Call: d.call, Return: d.back}
	}
	result, info := porcupine.CheckOperationsVerbose(model(from), history, decideWithin)
	if result == porcupine.Ok {
		return true
	}
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	ordered := map[*deed]bool{}
	last := from
	for _, o := range longest {
		d := o.Input.(*deed)
		ordered[d] = true
		_, last = d.step(last)
	}
	var left []*Operation
	also := ""
	for _, d := range slices.SortedFunc(slices.Values(piece), func(a, b *deed) int { return cmp.Compare(a.back, b.back) }) {
		switch {
		case ordered[d] || len(left) == 3:
		case d.by != nil:
			left = append(left, d.by)
		default:
			also += fmt.Sprintf(", also not the end of %v at index %d between moments %d and %d", d.lives, d.index, d.call, d.back)
		}
	}
	name, word := NotLinearizable, "no order explains"
	if result == porcupine.Unknown {
		name, word = Undecided, fmt.Sprintf("within %v no order was found for", decideWithin)
	}
	c.violate(name, left, "%s: %s its %d operations; after %d of them the list is %v, and next could not come%s", path, word, len(piece), len(longest), last, also)
	return false
}

// kind is what a deed does to a list.
type kind uint8

const (
	pushes   kind = iota // an item comes
	updates              // one gets other data
	removes              // one leaves, if it is there
	ends                 // a session leaves with its items
	reads                // somebody sees the list
	misses               // ifMatch did not hold
	notFound             // an item was not there
)

// deed is one operation of the model.
type deed struct {
	kind        kind
	call, back  int64  // Seq of its moments
	place       uint64 // about where it is in the log
	index       uint64 // of the change; 0: not known
	rank        int    // among the changes whose index is known, from 1 on; 0: it is none
	version     uint64
	life        *Life   // pushes updates removes
	lives       []*Life // ends
	data        string
	conditional bool
	ifMatch     uint64
	items       []Item // reads
	total       int
	doubtful    bool // updates removes: may not have been done
	by          *Operation
}

// history returns the deeds on a list. A push or an update whose outcome is not
// known and of which nobody ever saw anything is left out: then the list may
// have changed unseen, which blurs what its etags say.
func (l *list) history(c *checker) (all []*deed, blurred bool) {
	lives := map[*Life][]*push{}
	for _, p := range l.pushes {
		lives[p.life] = append(lives[p.life], p)
		if p.version != 0 {
			all = append(all, p.deed(l))
		} else if p.possible() {
			blurred = !c.Complete
		}
	}
	together := map[uint64]*deed{} // sessions that one entry ended
	for _, life := range c.Lives { // in an order: how long the search takes depends on it
		end := l.end(life, lives[life], c.Complete)
		if end == nil || lives[life] == nil {
			continue
		}
		if other := together[end.index]; other != nil && end.index != 0 {
			other.lives = append(other.lives, life)
			other.call, other.back = max(other.call, end.call), min(other.back, end.back)
			continue
		}
		together[end.index] = end
		all = append(all, end)
	}
	for _, o := range c.Operations {
		if o.Path == l.path {
			deeds, unseen := o.deeds(l)
			all = append(all, deeds...)
			blurred = blurred || unseen && !c.Complete
		}
	}
	rank(all)
	return all, blurred
}

// rank numbers the changes whose index is known. Their indexes have to rise in
// any order, so each has one place among them; to know it saves the search from
// trying others.
func rank(all []*deed) {
	var ranked []*deed
	for _, d := range all {
		if d.index != 0 {
			ranked = append(ranked, d)
		}
	}
	slices.SortStableFunc(ranked, func(a, b *deed) int { return cmp.Compare(a.index, b.index) })
	for i, d := range ranked {
		d.rank = i + 1
	}
}

// deed is what a push did, at its first attempt that reached the log.
func (p *push) deed(l *list) *deed {
	o := p.attempts[0]
	d := &deed{
		kind: pushes, call: int64(p.first().Seq), back: math.MaxInt64, place: p.version, index: p.version,
		version: p.version, life: p.life, data: o.Data, conditional: o.Conditional, ifMatch: o.IfMatch, by: o,
	}
	for _, o := range p.attempts {
		if o.ok() {
			d.back = min(d.back, int64(o.Returned.Seq))
		}
	}
	for s := range l.looks() {
		if find(s.items, p.version) >= 0 {
			d.back = min(d.back, int64(s.by.Returned.Seq))
		}
	}
	return d
}

// looks walks what operations saw that are themselves put in order.
func (l *list) looks() iter.Seq[*sighting] {
	return func(yield func(*sighting) bool) {
		for _, s := range l.sightings {
			if s.by != nil && (s.by.Consistent || s.by.changes()) && !yield(s) {
				return
			}
		}
	}
}

// end is that a session left a list; nil when it did not. What others saw of
// its items bounds when that was.
func (l *list) end(life *Life, pushed []*push, complete bool) *deed {
	if life.Alive || complete && !slices.ContainsFunc(l.sightings, func(s *sighting) bool { return life.Index != 0 && s.since == life.Index }) {
		return nil
	}
	d := &deed{kind: ends, call: int64(life.Began.Seq), back: math.MaxInt64, place: cmp.Or(life.Index, math.MaxUint64), index: life.Index, lives: []*Life{life}}
	if life.Over.Seq != 0 {
		d.back = int64(life.Over.Seq)
	}
	for _, p := range pushed {
		if p.version == 0 {
			continue
		}
		d.call = max(d.call, int64(p.first().Seq))
		for s := range l.looks() {
			switch {
			case find(s.items, p.version) >= 0:
				d.call = max(d.call, int64(s.by.Called.Seq))
			case p.acked != nil && p.acked.Returned.Before(s.by.Called) && s.shows(p.version) && len(p.removed) == 0:
				d.back = min(d.back, int64(s.by.Returned.Seq))
			}
		}
	}
	return d
}

// deeds is what an operation did to a list beside pushing to it. unseen says
// that it may have done more, of which nobody ever saw anything.
func (o *Operation) deeds(l *list) (all []*deed, unseen bool) {
	d := deed{call: int64(o.Called.Seq), back: int64(o.Returned.Seq), place: o.Answer.Index, version: o.Version, data: o.Data, conditional: o.Conditional, ifMatch: o.IfMatch, by: o}
	if o.Returned.Seq == 0 {
		d.back = math.MaxInt64
	}
	if change := d; o.Action == vera.ActionUpdate || o.Action == vera.ActionRemove {
		change.kind = map[vera.Action]kind{vera.ActionUpdate: updates, vera.ActionRemove: removes}[o.Action]
		change.life = o.Life
		switch {
		case o.ok():
			all = append(all, change.settled(l))
		case o.Returned.Seq != 0 && o.Answer.Code == vera.NotFound:
			change.kind = notFound
			all = append(all, &change)
		case o.unknown():
			change.back, change.doubtful, change.place = math.MaxInt64, true, math.MaxUint64
			if settled := change.settled(l); settled.index != 0 || o.Action == vera.ActionRemove {
				all = append(all, settled)
			} else {
				unseen = true
			}
		}
	}
	// A miss that is answered with an etag other than its ifMatch did not hold
	// where the list was so: that is put in order as a read.
	if miss := d; o.Returned.Seq != 0 && o.Answer.Code == vera.PreconditionFailed && o.Answer.ETag == o.IfMatch {
		miss.kind = misses
		all = append(all, &miss)
	}
	if read := d; o.listed() && (o.Consistent || o.changes()) {
		read.kind, read.items, read.total = reads, o.Answer.Items, o.Answer.Total
		all = append(all, &read)
	}
	return all, unseen
}

// settled looks up at which index an update was done, in what anybody saw.
func (d deed) settled(l *list) *deed {
	switch {
	case d.kind == removes && d.by.ok():
		d.removedAt(l)
	case d.kind == updates:
		for _, s := range l.sightings {
			if i := find(s.items, d.version); i >= 0 && s.items[i].Updated != 0 && string(s.items[i].Data) == d.data {
				d.index, d.place, d.doubtful = s.items[i].Updated, s.items[i].Updated, false
				if s.by != nil && (s.by.Consistent || s.by.changes()) {
					d.back = min(d.back, int64(s.by.Returned.Seq))
				}
			}
		}
	}
	return &d
}

// removedAt looks up at which index an item was removed, in the log. Of several
// removals nobody knows which one it was.
func (d *deed) removedAt(l *list) {
	i := slices.IndexFunc(l.pushes, func(p *push) bool { return p.version == d.version })
	if i < 0 || len(l.pushes[i].removed) > 1 {
		return
	}
	before := false
	for _, s := range l.sightings {
		if s.by != nil || s.who != theLog {
			continue
		}
		is := find(s.items, d.version) >= 0
		if before && !is && s.index <= d.place && s.index != d.life.Index {
			d.index, d.place = s.index, s.index
			return
		}
		before = is
	}
}

// pieces cuts a history along the log.
func pieces(history []*deed) [][]*deed {
	if len(history) <= pieceOperations {
		return [][]*deed{history}
	}
	inOrder(history)
	return slices.Collect(slices.Chunk(history, pieceOperations))
}

// inOrder sorts deeds as the log has them: the change of an index before what
// is said of it.
func inOrder(history []*deed) {
	slices.SortStableFunc(history, func(a, b *deed) int {
		after := func(d *deed) int {
			if d.kind >= reads {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(after(a), after(b)))
	})
}

// replay does a piece in the order of the log.
func replay(from standing, piece []*deed) standing {
	piece = slices.Clone(piece)
	inOrder(piece)
	for _, d := range piece {
		if ok, next := d.step(from); ok {
			from = next
		}
	}
	return from
}
