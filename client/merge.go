package client

// queued returns queue with n at its end. When limit or more wait already, n
// is merged into the last of them, and a reset takes the place of all.
func queued(queue []Notification, n Notification, limit int) []Notification {
	if len(queue) < limit {
		return append(queue, n)
	}
	if n.Reset {
		clear(queue)
		return append(queue[:0], n)
	}
	last := &queue[len(queue)-1]
	switch {
	case !last.Reset:
		*last = merged(*last, n)
	case n.Items != nil: // the reset only told a state, and n tells a later one
		*last = Notification{Action: n.Action, Path: n.Path, Index: n.Index, ETag: n.ETag, Reset: true, Items: n.Items}
	default: // a difference cannot go into a reset: it waits behind it, and later ones go into it
		return append(queue, n)
	}
	return queue
}

// merged returns what tells at once of a and then b, neither of them a reset.
// Versions never repeat, so an item is added once and removed once at most.
func merged(a, b Notification) Notification {
	added, order := index(a.Added)
	updated, orderUpdated := index(a.Updated)
	removed := a.Removed
	for _, item := range b.Updated {
		if _, is := added[item.Version]; is {
			added[item.Version] = item
			continue
		}
		if _, is := updated[item.Version]; !is {
			orderUpdated = append(orderUpdated, item.Version)
		}
		updated[item.Version] = item
	}
	for _, item := range b.Removed {
		delete(updated, item.Version)
		if _, is := added[item.Version]; is {
			delete(added, item.Version) // came and went untold
			continue
		}
		removed = append(removed[:len(removed):len(removed)], item)
	}
	b.Added = append(listed(added, order), b.Added...)
	b.Updated = listed(updated, orderUpdated)
	b.Removed = removed
	return b
}

func index(items []Item) (byVersion map[uint64]Item, order []uint64) {
	byVersion = make(map[uint64]Item, len(items))
	for _, item := range items {
		byVersion[item.Version] = item
		order = append(order, item.Version)
	}
	return byVersion, order
}

// listed returns the items in that order, but for those that are gone.
func listed(byVersion map[uint64]Item, order []uint64) (items []Item) {
	for _, version := range order {
		if item, is := byVersion[version]; is {
			items = append(items, item)
		}
	}
	return items
}
