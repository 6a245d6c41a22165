package state

import (
	"fmt"
	"strings"

	"vera"
)

// empty is what a list that nobody ever pushed to is.
var empty = &List{}

// list returns the newest state of a list, and its holder or nil.
func (w *world) list(p vera.Path) (*holder, *List) {
	if v, found := w.lists.Load(p); found {
		h := v.(*holder)
		return h, h.cur.Load()
	}
	return nil, empty
}

// refusal makes the answer to a command that item commands refuse.
func refusal(l *List, code vera.Code, format string, args ...any) Reply {
	return Reply{Code: code, Message: fmt.Sprintf(format, args...), List: l}
}

// unmatched answers a command whose condition does not hold, if so.
func unmatched(l *List, c *Command) (Reply, bool) {
	if !c.Conditional || c.IfMatch == l.ETag() {
		return Reply{}, false
	}
	return refusal(l, vera.PreconditionFailed, "ifMatch: the list's etag is %d", l.ETag()), true
}

// firstState is an item with what all its states share, allocated in one
// piece. So the data of the first state stays in memory as long as the item.
type firstState struct {
	origin vera.Origin
	item   vera.Item
}

func (w *world) push(s *session, c *Command) Reply {
	h, before := w.list(c.Path)
	var sum uint64
	if c.Once != "" {
		sum = mix(mix(0, []byte(c.Path)), c.Data)
		if first, used := s.seen[c.Once]; used {
			if first.sum != sum {
				return refusal(before, vera.InvalidParameter, "once: the key was used for another path or other data")
			}
			return Reply{Code: vera.OK, Version: first.push, List: before}
		}
	}
	if r, failed := unmatched(before, c); failed {
		return r
	}
	if held := s.newest().ItemCount(); held >= c.SessionItems {
		return refusal(before, vera.TooManyRequests, "path: items held by the session: %d; the limit, max-session-items, is %d", held, c.SessionItems)
	}
	if before.Len() >= c.ListItems {
		return refusal(before, vera.TooManyRequests, "path: items on the list: %d; the limit, max-list-items, is %d", before.Len(), c.ListItems)
	}
	if h == nil {
		h = &holder{path: vera.Path(strings.Clone(string(c.Path))), born: w.applied.Load()}
	}
	first := &firstState{origin: vera.Origin{Version: w.index, Session: c.Session, Life: c.Life, Owner: s.ownerOf(c.Owner)}}
	first.item = vera.Item{Origin: &first.origin, Data: c.Data}
	after := w.change(h, before, before.items.add(slot{&first.item}))
	d := w.draft(s)
	d.items = d.items.add(holding{h.path, w.index})
	if c.Once != "" {
		s.remember(d, use{strings.Clone(c.Once), w.index, sum})
	}
	return Reply{Code: vera.OK, Version: w.index, List: after}
}

// remember adds a use and forgets the one that is too old now.
func (s *session) remember(d *Session, u use) {
	uses := sequence[use]{}
	if d.once != nil {
		uses = *d.once
	}
	uses = uses.add(u)
	if s.seen == nil {
		s.seen = map[string]use{}
	}
	s.seen[u.key] = u
	if uses.n > vera.OnceKeys {
		delete(s.seen, uses.at(uses.n-vera.OnceKeys-1).key)
	}
	if uses.n == vera.OnceKeys+chunkSize { // a whole chunk is forgotten
		uses.spine = uses.spine[1:]
		uses.n -= chunkSize
	}
	d.once = &uses
}

// uses returns the remembered uses, the oldest first.
func (s *Session) uses() []use {
	if s.once == nil {
		return nil
	}
	all := make([]use, 0, s.once.n)
	s.once.each(-1, func(u use) bool { all = append(all, u); return true })
	return all[max(0, len(all)-vera.OnceKeys):]
}

func (w *world) update(s *session, c *Command) Reply {
	h, before := w.list(c.Path)
	old := before.Find(c.Version)
	switch {
	case old == nil:
		return refusal(before, vera.NotFound, "version: the list has no item %d", c.Version)
	case old.Session != c.Session:
		return refusal(before, vera.Forbidden, "version: item %d is another session's", c.Version)
	}
	if r, failed := unmatched(before, c); failed {
		return r
	}
	now := &vera.Item{Origin: old.Origin, Updated: w.index, Data: c.Data}
	return Reply{Code: vera.OK, List: w.change(h, before, before.items.replace(slot{now}))}
}

func (w *world) remove(s *session, c *Command) Reply {
	h, before := w.list(c.Path)
	old := before.Find(c.Version)
	switch {
	case old == nil:
		return Reply{Code: vera.OK, List: before}
	case old.Session != c.Session:
		return refusal(before, vera.Forbidden, "version: item %d is another session's", c.Version)
	}
	if r, failed := unmatched(before, c); failed {
		return r
	}
	old.Reason = vera.Removed
	version := [1]uint64{c.Version}
	d := w.draft(s)
	d.items = d.items.without(version[:], nil)
	return Reply{Code: vera.OK, List: w.change(h, before, before.items.without(version[:], nil))}
}
