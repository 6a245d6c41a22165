package state

import "vera"

// cursor walks the first few elements of a list, by chunks.
type cursor struct {
	items *sequence[slot]
	chunk int
	place int
	left  int // elements still to come
}

func (l *List) window(limit int) cursor {
	c := cursor{items: &l.items, left: l.items.n}
	if limit >= 0 {
		c.left = min(c.left, limit)
	}
	return c
}

// run returns what the present chunk still has.
func (c *cursor) run() []slot {
	for c.left > 0 && c.place == len(c.items.chunk(c.chunk)) {
		c.chunk++
		c.place = 0
	}
	if c.left == 0 {
		return nil
	}
	rest := c.items.chunk(c.chunk)[c.place:]
	return rest[:min(len(rest), c.left)]
}

func (c *cursor) skip(n int) {
	c.place += n
	c.left -= n
}

// Diff says how the first limit items (all with vera.NoLimit) differ between
// two states of one list: which are among them now, which say something else,
// which were among them and left the list. All in the order of their versions.
// Chunks that both states share are skipped without a look at their items.
func Diff(before, after *List, limit int) (added, updated, removed []*vera.Item) {
	if before.mixed || after.mixed {
		return diffByVersion(before, after, limit)
	}
	a, b := before.window(limit), after.window(limit)
	compare(&a, &b, func(old, now *vera.Item) {
		switch {
		case old == nil:
			added = append(added, now)
		case now == nil:
			removed = append(removed, old)
		case old.Updated != now.Updated:
			updated = append(updated, now)
		}
	})
	return added, updated, removed
}

// compare shows what stands in only one of two windows, or in both but not in
// a chunk that they share. Since versions rise and only the newest are added,
// an item that is in the first window and not in the second left the list.
func compare(a, b *cursor, show func(old, now *vera.Item)) {
	for {
		old, now := a.run(), b.run()
		switch {
		case len(old) == 0 && len(now) == 0:
			return
		case len(old) > 0 && len(now) > 0 && &old[0] == &now[0]: // the same array, so the same up to the shorter's end
			n := min(len(old), len(now))
			a.skip(n)
			b.skip(n)
		case len(now) == 0 || len(old) > 0 && old[0].Version < now[0].Version:
			show(old[0].Item, nil)
			a.skip(1)
		case len(old) == 0 || now[0].Version < old[0].Version:
			show(nil, now[0].Item)
			b.skip(1)
		default:
			show(old[0].Item, now[0].Item)
			a.skip(1)
			b.skip(1)
		}
	}
}

// diffByVersion is Diff for lists whose versions need not rise, which are short.
func diffByVersion(before, after *List, limit int) (added, updated, removed []*vera.Item) {
	old, now := map[uint64]*vera.Item{}, map[uint64]bool{}
	for it := range before.First(limit) {
		old[it.Version] = it
	}
	for it := range after.All() {
		now[it.Version] = true
	}
	for it := range after.First(limit) {
		if was := old[it.Version]; was == nil {
			added = append(added, it)
		} else if was.Updated != it.Updated {
			updated = append(updated, it)
		}
	}
	for it := range before.First(limit) {
		if !now[it.Version] {
			removed = append(removed, it)
		}
	}
	return added, updated, removed
}
