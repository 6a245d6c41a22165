package history

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// standing is a list between two deeds. It is never changed.
type standing struct {
	items   []entry
	changed uint64 // index of the last change, or the least that it can have
	rank    int    // of the last change that has one
	guessed bool   // it is the least
	blurred bool   // there may be changes that nobody saw
}

// entry is an item in the model.
type entry struct {
	version uint64 // 0: not known
	updated uint64 // index of the last update; 0: not known or none
	life    *Life
	data    string
}

// model is a list as porcupine knows it, from a standing on.
func model(from standing) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return from },
		Step: func(s, input, _ any) (bool, any) {
			ok, next := input.(*deed).step(s.(standing))
			return ok, next
		},
		Equal: func(a, b any) bool { return a.(standing).equal(b.(standing)) },
		Hash:  func(s any) uint64 { return s.(standing).hash() },
	}
}

// String is the standing in short.
func (s standing) String() string {
	text := fmt.Sprintf("etag %d:", s.changed)
	for _, e := range s.items {
		text += fmt.Sprintf(" %d", e.version)
		if e.updated != 0 {
			text += fmt.Sprintf("(%d)", e.updated)
		}
	}
	return text
}

func (s standing) equal(other standing) bool {
	return s.changed == other.changed && s.rank == other.rank && s.guessed == other.guessed && slices.Equal(s.items, other.items)
}

func (s standing) hash() uint64 {
	h := s.changed * 0x9e3779b97f4a7c15
	for _, e := range s.items {
		h = (h ^ e.version ^ e.updated<<32) * 0x100000001b3
	}
	return h
}

// step does a deed, if it can be done and answered so.
func (d *deed) step(s standing) (bool, standing) {
	switch d.kind {
	case pushes:
		return d.push(s)
	case updates, removes:
		return d.edit(s)
	case ends:
		return d.end(s)
	case reads:
		return d.read(s)
	case misses:
		etag, known := s.etag()
		return !known || etag != d.ifMatch, s
	case notFound:
		return s.find(d.version) < 0, s
	}
	panic("a deed of no kind")
}

// etag is what a condition is compared with.
func (s standing) etag() (etag uint64, known bool) {
	if len(s.items) == 0 {
		return 0, !s.blurred
	}
	return s.changed, !s.guessed && !s.blurred
}

// matches says whether a condition holds, and what is known then.
func (d *deed) matches(s standing) (bool, standing) {
	etag, known := s.etag()
	switch {
	case !d.conditional || known && etag == d.ifMatch:
		return true, s
	case known || d.ifMatch < s.changed && (d.ifMatch != 0 || len(s.items) > 0):
		return false, s
	}
	s.changed, s.guessed = max(s.changed, d.ifMatch), false
	return true, s
}

// change moves a list on to the index of a deed. Whatever has an unknown one
// comes behind the last change, but that several sessions may end in one entry
// of the log.
func (d *deed) change(s standing) (bool, standing) {
	if d.index == 0 {
		if d.kind != ends || !s.guessed {
			s.changed++
		}
		s.guessed = true
		return true, s
	}
	if d.rank != s.rank+1 || d.index <= s.changed && (d.index != s.changed || !s.guessed) {
		return false, s
	}
	s.changed, s.guessed, s.rank = d.index, false, d.rank
	return true, s
}

func (d *deed) push(s standing) (bool, standing) {
	ok, s := d.matches(s)
	if ok {
		ok, s = d.change(s)
	}
	if !ok {
		return false, s
	}
	s.items = append(slices.Clip(s.items), entry{version: d.version, life: d.life, data: d.data})
	return true, s
}

// edit does an update or a removal.
func (d *deed) edit(s standing) (bool, standing) {
	i := s.find(d.version)
	if i < 0 {
		return d.kind == removes || d.doubtful, s
	}
	if s.items[i].life != d.life {
		return d.doubtful, s
	}
	ok, next := d.matches(s)
	if !ok {
		return d.doubtful, s
	}
	if ok, next = d.change(next); !ok {
		return false, s
	}
	next.items = slices.Clone(next.items)
	if d.kind == removes {
		next.items = slices.Delete(next.items, i, i+1)
	} else {
		next.items[i].data, next.items[i].updated = d.data, d.index
	}
	return true, next
}

func (d *deed) end(s standing) (bool, standing) {
	mine := func(e entry) bool { return slices.Contains(d.lives, e.life) }
	if !slices.ContainsFunc(s.items, mine) {
		return true, s
	}
	ok, s := d.change(s)
	if ok {
		s.items = slices.DeleteFunc(slices.Clone(s.items), mine)
	}
	return ok, s
}

// read compares a list with what somebody saw.
func (d *deed) read(s standing) (bool, standing) {
	unseen := d.total - len(s.items)
	if len(d.items) > len(s.items) || unseen < 0 || unseen > 0 && (!s.blurred || len(d.items) == d.total) {
		return false, s
	}
	etag, known := s.etag()
	told := d.etag()
	switch {
	case known && told != etag, (told == 0) != (d.total == 0):
		return false, s
	case !known && told != 0 && told < s.changed:
		return false, s
	case !known && told != 0:
		s.changed, s.guessed = told, false
	}
	cloned := false
	for i, it := range d.items {
		e := s.items[i]
		if e.version != 0 && e.version != it.Version || e.life.Session != it.Session || e.data != string(it.Data) || e.updated != 0 && e.updated != it.Updated {
			return false, s
		}
		if now := (entry{it.Version, it.Updated, e.life, e.data}); now != e {
			if !cloned {
				s.items, cloned = slices.Clone(s.items), true
			}
			s.items[i] = now
		}
	}
	return true, s
}

// etag is what the answer to a read said.
func (d *deed) etag() uint64 { return d.by.Answer.ETag }

func (s standing) find(version uint64) int {
	return slices.IndexFunc(s.items, func(e entry) bool { return e.version == version })
}
