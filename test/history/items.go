package history

import (
	"cmp"
	"slices"

	"vera"
)

// push is what a client wanted to put on a list, with all repetitions.
type push struct {
	life     *Life
	attempts []*Operation
	version  uint64 // 0: nobody was told
	acked    *Operation
	removed  []*Operation // that ask for its removal
}

// first is when the push was first asked for.
func (p *push) first() Moment { return p.attempts[0].Called }

// possible says whether it may have been done.
func (p *push) possible() bool {
	return slices.ContainsFunc(p.attempts, func(o *Operation) bool { return o.ok() || o.unknown() })
}

// gaveUp says whether its session may have removed it before a moment.
func (p *push) gaveUp(by Moment) bool {
	return slices.ContainsFunc(p.removed, func(o *Operation) bool { return o.Called.Before(by) && (o.ok() || o.unknown()) })
}

// identity is what tells one push from another.
type identity struct{ path, session, data string }

// items is every push of a history, settled: of those whose outcome nobody was
// told the version is known once anybody saw the item.
type items struct {
	pushes  map[identity]*push
	version map[uint64]*push
	updates map[uint64][]*Operation
}

// checkItems has what is on lists be what was pushed.
func (c *checker) checkItems() {
	all := c.settle()
	for _, l := range c.lists {
		for _, s := range l.sightings {
			for _, it := range s.items {
				c.checkItem(all, l, s, it)
			}
		}
		slices.SortFunc(l.pushes, func(a, b *push) int { return cmp.Compare(a.version, b.version) })
		for _, s := range l.sightings {
			c.checkPresent(l, s)
		}
	}
	c.checkHeld(all)
	c.checkConnected()
}

// settle finds every push, and learns from all that was told which were done.
func (c *checker) settle() *items {
	all := &items{map[identity]*push{}, map[uint64]*push{}, map[uint64][]*Operation{}}
	for _, o := range c.Operations {
		if o.Action == vera.ActionPush && o.Life != nil {
			c.attempt(all, o)
		}
	}
	for _, l := range c.lists {
		for _, s := range l.sightings {
			for _, it := range s.items {
				p := all.pushes[identity{l.path, it.Session, string(it.Data)}]
				if p != nil && it.Updated == 0 {
					c.version(all, p, it.Version, operations(s))
				}
			}
		}
	}
	c.lives(all)
	for _, o := range c.Operations {
		switch o.Action {
		case vera.ActionUpdate:
			all.updates[o.Version] = append(all.updates[o.Version], o)
		case vera.ActionRemove:
			if p := all.version[o.Version]; p != nil {
				p.removed = append(p.removed, o)
			}
		}
	}
	return all
}

// lives learns from the items which life of the log a client's life is. One may
// be several of the client's, when it gave one up of which it did not know that
// it had begun; but not when it knew.
func (c *checker) lives(all *items) {
	names := map[*Life]uint64{}
	bearers := map[LifeName][]*Life{}
	for _, change := range c.Log {
		for _, it := range change.Items {
			p := all.version[it.Version]
			if p == nil || it.Life == 0 || names[p.life] == it.Life {
				continue
			}
			if other := names[p.life]; other != 0 {
				c.violate(MixedLives, p.attempts, "%s is for the log one that began at %d, and one that began at %d", p.life, other, it.Life)
			} else {
				p.life.born = change.Seen
			}
			name := LifeName{p.life.Session, it.Life}
			bearers[name] = append(bearers[name], p.life)
			names[p.life], p.life.end = it.Life, c.Ends[name]
			p.life.Index = p.life.end.Index
		}
	}
	for _, p := range all.version {
		for _, l := range bearers[LifeName{p.life.Session, names[p.life]}] {
			if l != p.life && p.acked != nil && p.acked.Returned.Before(l.Began) {
				c.violate(MixedLives, []*Operation{p.acked}, "%s is for the log the same life as %s, and its client was told of a new one", p.life, l)
			}
		}
	}
}

func (c *checker) attempt(all *items, o *Operation) {
	id := identity{o.Path, o.Life.Session, o.Data}
	p := all.pushes[id]
	if p == nil {
		p = &push{life: o.Life}
		all.pushes[id] = p
		l := c.list(o.Path)
		l.pushes = append(l.pushes, p)
	}
	p.attempts = append(p.attempts, o)
	if o.ok() {
		p.acked = o
		c.version(all, p, o.Answer.Version, []*Operation{o})
	}
}

// version notes which item a push made.
func (c *checker) version(all *items, p *push, version uint64, by []*Operation) {
	if p.version != 0 && p.version != version {
		c.violate(DoubledPush, append(slices.Clone(p.attempts), by...), "one push of session %s made items %d and %d", p.life.Session, p.version, version)
	}
	if p.version == 0 {
		p.version = version
	}
	if all.version[version] == nil {
		all.version[version] = p
	}
}

// checkItem has an item be what its session made of it.
func (c *checker) checkItem(all *items, l *list, s *sighting, it Item) {
	p := all.version[it.Version]
	if p == nil || p.life.Session != it.Session || !p.possible() || !p.first().Before(s.seen) {
		c.violate(GhostItem, operations(s), "%s: %s: %d with %s is there, which nobody pushed", l.path, s, it.Version, it.Data)
		return
	}
	c.gone(l, s, p, it)
	updates := all.updates[it.Version]
	if it.Updated == 0 {
		for _, o := range updates {
			if o.ok() && o.Answer.Index <= s.index {
				c.violate(LostUpdate, append(operations(s), o), "%s: %s: %d is as it was pushed, and an update was acknowledged at index %d", l.path, s, it.Version, o.Answer.Index)
			}
		}
		if o := p.attempts[0]; o.Data != string(it.Data) {
			c.violate(LostUpdate, append(operations(s), o), "%s: %s: %d is %s, and was pushed otherwise", l.path, s, it.Version, it.Data)
		}
		return
	}
	if !slices.ContainsFunc(updates, func(o *Operation) bool {
		return o.Data == string(it.Data) && (o.ok() || o.unknown()) && o.Called.Before(s.seen)
	}) {
		c.violate(LostUpdate, operations(s), "%s: %s: %d was updated at %d to %s, by nobody", l.path, s, it.Version, it.Updated, it.Data)
	}
}

// gone has no item of a life that is over be there.
func (c *checker) gone(l *list, s *sighting, p *push, it Item) {
	life := p.life
	switch {
	case life.Index != 0 && s.index >= life.Index:
		c.violate(ItemOutlivesSession, append(operations(s), p.attempts...), "%s: %s: %d is there, and the log ended its session at %d", l.path, s, it.Version, life.Index)
	case s.by != nil && s.by.Consistent && life.Over.Before(s.by.Called):
		c.violate(ItemOutlivesSession, append(operations(s), p.attempts...), "%s: %s: %d is there, and its client knew %s to be over at %v", l.path, s, it.Version, life, life.Over.At)
	}
}

// checkPresent has an item that nothing took away be there.
func (c *checker) checkPresent(l *list, s *sighting) {
	for _, p := range l.pushes {
		if p.version > s.index {
			break
		}
		if p.version == 0 || !s.shows(p.version) || find(s.items, p.version) >= 0 || p.gaveUp(s.seen) {
			continue
		}
		switch {
		case p.acked == nil:
		case p.life.Alive || p.life.Index > s.index || c.Complete && p.life.Index == 0:
			c.violate(LostItem, append(operations(s), p.attempts...), "%s: %s: %d is not there, and %s lives and did not remove it", l.path, s, p.version, p.life)
		}
		c.checkSafe(l, s, p)
	}
}
