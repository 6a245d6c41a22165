package disk

import "fmt"

// loc is where an entry's record lies in its segment, in bytes.
type loc struct {
	offset, size uint32
}

// index says which entries the log holds and where each one lies: 8 bytes an entry.
//
// Invariants: the log is first..last, both 0 when it is empty. Each segment holds one run of it, in the order of the
// segments; runs neither overlap nor leave a gap between them.
type index struct {
	first, last uint64
	segments    []*segment
}

// add puts entry i, stored in the last segment, behind the others.
func (x *index) add(i uint64, at loc) error {
	s := x.segments[len(x.segments)-1]
	switch {
	case i == 0:
		return fmt.Errorf("entry with index 0")
	case x.last == 0:
		x.first = i
	case i != x.last+1:
		return fmt.Errorf("entry %d follows on entry %d", i, x.last)
	}
	if len(s.locs) == 0 {
		s.first = i
	}
	s.locs = append(s.locs, at)
	x.last = i
	return nil
}

// keep cuts the log down to first..last, which it must hold; 0, 0 empties it.
func (x *index) keep(first, last uint64) error {
	if first > last || (first == 0) != (last == 0) || last > x.last || (first != 0 && first < x.first) {
		return fmt.Errorf("a log of %d to %d was to keep %d to %d", x.first, x.last, first, last)
	}
	for _, s := range x.segments {
		s.trim(first, last)
	}
	x.first, x.last = first, last
	return nil
}

// find returns the segment that holds entry i and the place in it.
func (x *index) find(i uint64) (*segment, loc, bool) {
	if i < x.first || i > x.last || x.last == 0 {
		return nil, loc{}, false
	}
	for k := len(x.segments) - 1; k >= 0; k-- {
		s := x.segments[k]
		if len(s.locs) > 0 && i >= s.first && i-s.first < uint64(len(s.locs)) {
			return s, s.locs[i-s.first], true
		}
	}
	return nil, loc{}, false
}

// hole returns the first entry of the log that no segment holds, or 0.
func (x *index) hole() uint64 {
	if x.last == 0 {
		return 0
	}
	next := x.first
	for _, s := range x.segments {
		if len(s.locs) == 0 {
			continue
		}
		if s.first != next {
			return next
		}
		next += uint64(len(s.locs))
	}
	if next != x.last+1 {
		return next
	}
	return 0
}
