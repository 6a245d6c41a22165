package state

import (
	"iter"
	"sync/atomic"

	"vera"
)

// List is one list as it was at one index. It is immutable and may be kept.
type List struct {
	items   sequence[slot]
	changed uint64
	mixed   bool // the versions need not rise

	// prev is the list before, for readers who have not heard yet that the
	// entry which changed it is applied. It is dropped when the next one begins.
	prev atomic.Pointer[List]
}

// slot is an item's place in a list.
type slot struct{ *vera.Item }

func (s slot) version() uint64 { return s.Version }

// holder is where readers find the newest state of one list.
type holder struct {
	path vera.Path
	born uint64               // the index applied when it was made: it knows nothing of what was before
	cur  atomic.Pointer[List] // never nil
}

// NewList makes a list of things that are no items of a session, such as the
// peers of the cluster. The versions need not rise. The etag is not 0 unless
// there are no items. The list keeps the items.
func NewList(etag uint64, items []*vera.Item) *List {
	l := &List{changed: etag, mixed: true}
	for _, it := range items {
		l.items = l.items.add(slot{it})
	}
	return l
}

// ETag is the index of the last change, 0 when the list is empty.
func (l *List) ETag() uint64 {
	if l.items.n == 0 {
		return 0
	}
	return l.changed
}

// Changed is the index of the last change, also when the list is empty. It is
// 0 when there never was one, or when the list has been empty for so long that
// it is forgotten.
func (l *List) Changed() uint64 { return l.changed }

// Len is the number of items.
func (l *List) Len() int { return l.items.n }

// All walks the items in their order. It may be walked more than once.
func (l *List) All() iter.Seq[*vera.Item] { return l.First(vera.NoLimit) }

// First walks the first n items, all with vera.NoLimit.
func (l *List) First(n int) iter.Seq[*vera.Item] {
	return func(yield func(*vera.Item) bool) {
		l.items.each(n, func(s slot) bool { return yield(s.Item) })
	}
}

// Head is the oldest item, nil when there is none.
func (l *List) Head() *vera.Item {
	if l.items.n == 0 {
		return nil
	}
	return l.items.at(0).Item
}

// Find returns the item of that version, nil when it is not on the list.
func (l *List) Find(version uint64) *vera.Item {
	if l.mixed {
		for it := range l.All() {
			if it.Version == version {
				return it
			}
		}
		return nil
	}
	s, _ := l.items.find(version)
	return s.Item
}

// Listing returns what an answer tells of the list: the first limit items, all
// with vera.NoLimit. The index is the one that came with the list.
func (l *List) Listing(index uint64, limit int) vera.Listing {
	shown := l.items.n
	if limit >= 0 {
		shown = min(shown, limit)
	}
	return vera.Listing{Index: index, ETag: l.ETag(), Total: l.items.n, Shown: shown, Items: l.First(shown)}
}
