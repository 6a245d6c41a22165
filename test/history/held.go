package history

import (
	"maps"
	"slices"

	"vera"
)

// checkHeld has the answers to the action session tell what the session held
// at their index. They may tell of later items too.
func (c *checker) checkHeld(all *items) {
	pushed := map[*Life][]*push{}
	for _, version := range slices.Sorted(maps.Keys(all.version)) {
		p := all.version[version]
		pushed[p.life] = append(pushed[p.life], p)
	}
	for _, o := range c.Operations {
		if o.Action != vera.ActionSession || !o.ok() || o.Life == nil || o.Answer.Items == nil {
			continue
		}
		for i, it := range o.Answer.Items {
			if find(o.Answer.Items, it.Version) < i {
				c.violate(WrongHoldings, []*Operation{o}, "%s is told twice of %d", o.Life, it.Version)
			}
			c.checkHolding(all, o, it)
		}
		for _, p := range pushed[o.Life] {
			c.checkTold(o, p)
		}
	}
}

// checkHolding judges one item that a session is said to hold.
func (c *checker) checkHolding(all *items, o *Operation, it Item) {
	wrong := func(by []*Operation, format string, args ...any) {
		c.violate(WrongHoldings, append([]*Operation{o}, by...), "at index %d %s is told of %d on %s, "+format, append([]any{o.Answer.Index, o.Life, it.Version, it.Path}, args...)...)
	}
	p := all.version[it.Version]
	if p == nil {
		if c.Complete {
			wrong(nil, "which nobody pushed")
		}
		return
	}
	first := p.attempts[0]
	if first.Path != it.Path || p.life.Session != o.Life.Session {
		wrong(p.attempts, "which %s pushed onto %s", p.life, first.Path)
		return
	}
	removed := slices.IndexFunc(p.removed, func(r *Operation) bool { return r.ok() && r.Answer.Index <= o.Answer.Index })
	switch ends := p.life.Index; {
	case ends != 0 && ends <= o.Answer.Index:
		wrong(p.attempts, "and that life ended at %d", ends)
	case o.Life.Index != 0 && it.Version > o.Life.Index:
		wrong(p.attempts, "which is of a later life: its own ended at %d", o.Life.Index)
	case removed >= 0:
		wrong(p.removed[removed:removed+1], "which was removed")
	}
}

// checkTold judges whether a session is told of an item.
func (c *checker) checkTold(o *Operation, p *push) {
	index, life := o.Answer.Index, p.life
	lives := life.Alive || life.Index > index || c.Complete && life.Index == 0
	if p.acked == nil || p.version > index || !lives || p.gaveUp(o.Returned) {
		return
	}
	if find(o.Answer.Items, p.version) < 0 {
		c.violate(WrongHoldings, append([]*Operation{o}, p.attempts...), "at index %d %s is not told of %d on %s, which it holds", index, life, p.version, p.attempts[0].Path)
	}
}
