package state

import (
	"fmt"
	"slices"
	"sort"
)

const (
	chunkSize = 256           // elements of a full chunk
	chunkLow  = chunkSize / 2 // two neighbours that fit in this are joined
)

// versioned is what a sequence holds: things in the order of their versions.
type versioned interface{ version() uint64 }

// sequence is a persistent list: each change makes a new one and leaves the
// old ones as they are, and they share what did not change. Elements stand in
// chunks; the tail is the chunk that still grows.
//
// Growing happens in place, behind the length that older sequences know: a
// place in an array is written once, by whoever owns the newest sequence. So
// there must be one newest, and only it may be added to. Everything else
// copies.
type sequence[T versioned] struct {
	spine []*[]T // chunks of 1 to chunkSize; neighbours together more than chunkLow
	tail  []T    // at most chunkSize
	n     int    // elements in all
}

// add returns the sequence with t at its end.
func (s sequence[T]) add(t T) sequence[T] {
	if len(s.tail) == chunkSize {
		s.spine = append(s.spine, sealed(s.tail))
		s.tail = nil
	}
	if len(s.tail) == cap(s.tail) {
		grown := make([]T, len(s.tail), min(max(1, 4*len(s.tail)), chunkSize))
		copy(grown, s.tail)
		s.tail = grown
	}
	s.tail = append(s.tail, t)
	s.n++
	return s
}

// sealed makes a chunk ready for the spine, whose places are one word wide so
// that copying it is cheap.
func sealed[T any](c []T) *[]T { return &c }

// chunk returns chunk i; the tail is behind the last of the spine.
func (s *sequence[T]) chunk(i int) []T {
	if i == len(s.spine) {
		return s.tail
	}
	return *s.spine[i]
}

// seek returns the chunk and the place in it where a version stands or would.
func (s *sequence[T]) seek(version uint64) (chunk, place int, found bool) {
	chunk = sort.Search(len(s.spine), func(i int) bool {
		c := *s.spine[i]
		return c[len(c)-1].version() >= version
	})
	place, found = searchChunk(s.chunk(chunk), version)
	return chunk, place, found
}

func searchChunk[T versioned](c []T, version uint64) (place int, found bool) {
	place = sort.Search(len(c), func(i int) bool { return c[i].version() >= version })
	return place, place < len(c) && c[place].version() == version
}

// find returns the element of a version.
func (s *sequence[T]) find(version uint64) (t T, found bool) {
	chunk, place, found := s.seek(version)
	if found {
		t = s.chunk(chunk)[place]
	}
	return t, found
}

// at returns element i, counted from 0.
func (s *sequence[T]) at(i int) T {
	for _, c := range s.spine {
		if i < len(*c) {
			return (*c)[i]
		}
		i -= len(*c)
	}
	return s.tail[i]
}

// replace returns the sequence with t in the place of the element that has its
// version, which must be there.
func (s sequence[T]) replace(t T) sequence[T] {
	chunk, place, found := s.seek(t.version())
	if !found {
		panic(fmt.Sprintf("version %d is to be replaced where it does not stand", t.version()))
	}
	c := slices.Clone(s.chunk(chunk))
	c[place] = t
	if chunk == len(s.spine) {
		s.tail = c
		return s
	}
	s.spine = slices.Clone(s.spine)
	s.spine[chunk] = sealed(c)
	return s
}

// without returns the sequence without the elements of the given versions,
// which rise and must all be there. Untouched chunks are shared, so k removals
// from n elements cost about n/chunkSize + min(k*chunkSize, n). Each removed
// element is shown to left, in order, unless it is nil.
func (s sequence[T]) without(versions []uint64, left func(T)) sequence[T] {
	out := sequence[T]{n: s.n - len(versions), tail: s.tail}
	if len(s.spine) > 0 {
		out.spine = make([]*[]T, 0, len(s.spine))
	}
	done := 0 // chunks before it are in out
	for len(versions) > 0 {
		i, _, _ := s.seek(versions[0])
		out.join(s.spine[done:i])
		old := s.chunk(i)
		if len(old) == 0 {
			panic(fmt.Sprintf("version %d is to be removed where it does not stand", versions[0]))
		}
		last := old[len(old)-1].version()
		here := sort.Search(len(versions), func(k int) bool { return versions[k] > last })
		kept := thin(old, versions[:max(here, 1)], left)
		versions = versions[max(here, 1):]
		if i == len(s.spine) {
			out.tail = kept
		} else if len(kept) > 0 {
			out.join([]*[]T{sealed(kept)})
		}
		done = min(i+1, len(s.spine))
	}
	out.join(s.spine[done:])
	return out
}

// join appends chunks to the spine; the first is merged with the last of the
// spine when both are small.
func (s *sequence[T]) join(chunks []*[]T) {
	if len(chunks) == 0 {
		return
	}
	if end := len(s.spine) - 1; end >= 0 && len(*s.spine[end])+len(*chunks[0]) <= chunkLow {
		s.spine[end] = sealed(slices.Concat(*s.spine[end], *chunks[0]))
		chunks = chunks[1:]
	}
	s.spine = append(s.spine, chunks...)
}

// thin returns a copy of a chunk without the given versions.
func thin[T versioned](old []T, versions []uint64, left func(T)) []T {
	kept := make([]T, 0, len(old)-len(versions))
	for _, v := range versions {
		place, found := searchChunk(old, v)
		if !found {
			panic(fmt.Sprintf("version %d is to be removed where it does not stand", v))
		}
		if left != nil {
			left(old[place])
		}
		kept = append(kept, old[:place]...)
		old = old[place+1:]
	}
	return append(kept, old...)
}

// each calls yield with the first n elements, all when n is negative, until it
// returns false.
func (s *sequence[T]) each(n int, yield func(T) bool) {
	if n < 0 {
		n = s.n
	}
	for i := 0; i <= len(s.spine) && n > 0; i++ {
		c := s.chunk(i)
		for _, t := range c[:min(n, len(c))] {
			if !yield(t) {
				return
			}
		}
		n -= len(c)
	}
}
