package history

import (
	"cmp"
	"slices"

	"vera"
)

// heard is that somebody was told of an index.
type heard struct {
	moment Moment
	index  uint64
	by     *Operation // nil: a notification
}

// checkOrder holds the order of indexes against real time: what anybody had
// been told of before an operation was called is below the index of a change,
// and not above that of a consistent read.
func (c *checker) checkOrder() {
	all := c.hearings()
	var most heard
	calls := slices.SortedFunc(slices.Values(c.Operations), func(a, b *Operation) int { return cmp.Compare(a.Called.Seq, b.Called.Seq) })
	for _, o := range calls {
		for len(all) > 0 && all[0].moment.Before(o.Called) {
			if all[0].index > most.index {
				most = all[0]
			}
			all = all[1:]
		}
		c.placed(o, most)
	}
	c.checkConnections()
}

// hearings are all moments at which anybody was told of an index.
func (c *checker) hearings() []heard {
	var all []heard
	for _, o := range c.Operations {
		if o.Returned.Seq != 0 && o.Answer.Index != 0 && o.Path != string(vera.PeersPath) {
			all = append(all, heard{o.Returned, o.Answer.Index, o})
		}
	}
	for _, w := range c.Watches {
		for _, m := range w.Told {
			if w.Path != string(vera.PeersPath) {
				all = append(all, heard{m.Seen, m.Index, nil})
			}
		}
	}
	slices.SortFunc(all, func(a, b heard) int { return cmp.Compare(a.moment.Seq, b.moment.Seq) })
	return all
}

// placed judges the index of one operation by the highest that was heard of
// before.
func (c *checker) placed(o *Operation, most heard) {
	operations := []*Operation{o}
	if most.by != nil {
		operations = []*Operation{most.by, o}
	}
	switch index := o.Answer.Index; {
	case !o.listed():
	case o.Consistent && index < most.index:
		c.violate(StaleRead, operations, "a consistent read is of index %d, and %d had been told of before it was asked for", index, most.index)
	case o.changes() && index <= most.index:
		c.violate(WrongOrder, operations, "what was asked for has index %d, and %d had been told of before", index, most.index)
	case o.fresh() && o.Answer.Version <= most.index:
		c.violate(WrongOrder, operations, "the item has version %d, and %d had been told of before it was pushed", o.Answer.Version, most.index)
	case index < o.MinIndex:
		c.violate(WentBack, operations, "index %d is less than was waited for", index)
	}
}

// changes says whether it goes through the log.
func (o *Operation) changes() bool {
	return o.Action == vera.ActionPush || o.Action == vera.ActionUpdate || o.Action == vera.ActionRemove
}

// fresh says whether it is a push whose version can be that of no earlier one.
func (o *Operation) fresh() bool { return o.Action == vera.ActionPush && o.Once == "" && o.ok() }

// checkConnections has no index fall on one connection.
func (c *checker) checkConnections() {
	type last struct {
		index uint64
		at    int
	}
	type word struct {
		connection string
		heard
	}
	var all []word
	for _, o := range c.Operations {
		if o.Connection != "" && o.Returned.Seq != 0 && o.Answer.Index != 0 && o.Path != string(vera.PeersPath) {
			all = append(all, word{o.Connection, heard{o.Returned, o.Answer.Index, o}})
		}
	}
	for _, w := range c.Watches {
		for _, m := range w.Told {
			if w.Path != string(vera.PeersPath) {
				all = append(all, word{w.Connection, heard{m.Seen, m.Index, nil}})
			}
		}
	}
	slices.SortFunc(all, func(a, b word) int { return cmp.Compare(a.moment.Seq, b.moment.Seq) })
	lasts := map[string]last{}
	for _, w := range all {
		before := lasts[w.connection]
		if w.index < before.index {
			var operations []*Operation
			if w.by != nil {
				operations = append(operations, w.by)
			}
			c.violate(WentBack, operations, "%s was told of index %d at moment %d and of %d at moment %d", w.connection, before.index, before.at, w.index, w.moment.Seq)
		}
		lasts[w.connection] = last{max(w.index, before.index), w.moment.Seq}
	}
}
