package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// recover reads all segments, oldest first, and leaves the store as the last acknowledged write left it.
func (s *Store) recover() error {
	if err := os.Remove(filepath.Join(s.dir, unfinished)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	numbers, err := segments(s.dir)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return s.first()
	}
	var before scanned // what was found in the segment before
	for i, n := range numbers {
		path := filepath.Join(s.dir, fmt.Sprintf(segmentPattern, n))
		if i > 0 && n != numbers[i-1]+1 {
			return fmt.Errorf("log file %s is missing", filepath.Join(s.dir, fmt.Sprintf(segmentPattern, numbers[i-1]+1)))
		}
		g, data, err := load(path, n)
		if err != nil {
			return err
		}
		got, err := s.replay(g, data, i == 0, before)
		if err != nil {
			return err
		}
		if i > 0 && !before.sealed {
			// The crash came between the start of this segment and the seal of the one before.
			if i < len(numbers)-1 || got.frames != 1 || got.torn {
				return damaged(s.log.segments[i-1].path, before.end, "it is not sealed, though later batches follow in "+path)
			}
			s.log.segments = s.log.segments[:i]
			if err := errors.Join(g.file.Close(), os.Remove(path), syncDir(s.dir)); err != nil {
				return err
			}
			break
		}
		before = got
	}
	return s.settle(before)
}

// first starts segment 1 of an empty directory.
func (s *Store) first() error {
	f, err := blank(s.dir, s.options.SegmentBytes)
	if err != nil {
		return err
	}
	g, end, err := start(f, s.dir, 1, s.options.SegmentBytes, s.state(1))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.log.segments, s.end, s.sequence = []*segment{g}, end, 1
	return nil
}

// segments lists the numbers of the segments in a directory, rising.
func segments(dir string) ([]uint64, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, f := range files {
		var n uint64
		if _, err := fmt.Sscanf(f.Name(), segmentPattern, &n); err == nil && f.Name() == fmt.Sprintf(segmentPattern, n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// replay applies the records of a segment to the index and the stable store.
func (s *Store) replay(g *segment, data []byte, oldest bool, before scanned) (scanned, error) {
	s.log.segments = append(s.log.segments, g)
	sequence := uint64(0)
	if !oldest {
		sequence = before.sequence + 1
		if !before.sealed {
			sequence++ // the seal's
		}
	}
	records := 0
	got, err := scan(data, g.seed, sequence, func(r *record) error {
		records++
		return s.apply(r, oldest, records == 1)
	})
	if err == nil && got.frames == 0 {
		err = errors.New("it does not begin with the state of the log")
	}
	if err != nil {
		return got, fmt.Errorf("log file %s is damaged: %w", g.path, err)
	}
	return got, nil
}

func (s *Store) apply(r *record, oldest, begins bool) error {
	if begins != (r.kind == stateRecord) {
		return errors.New("the state of the log belongs at the beginning of a segment")
	}
	switch r.kind {
	case entryRecord:
		return s.log.add(r.entry.Index, loc{offset: uint32(r.at), size: uint32(r.size)})
	case keepRecord:
		return s.log.keep(r.first, r.last)
	case setRecord:
		s.stable[string(r.name)] = slices.Clone(r.value)
	case stateRecord:
		if oldest {
			s.log.first, s.log.last = r.first, r.last
		}
		if r.first != s.log.first || r.last != s.log.last {
			return fmt.Errorf("the log was %d to %d here, and the segments before hold %d to %d", r.first, r.last, s.log.first, s.log.last)
		}
	}
	return nil
}

// settle checks the whole and makes the last segment ready to be written to.
func (s *Store) settle(got scanned) error {
	g := s.last()
	if got.sealed {
		return fmt.Errorf("log file %s is missing", filepath.Join(s.dir, fmt.Sprintf(segmentPattern, g.number+1)))
	}
	if i := s.log.hole(); i != 0 {
		return fmt.Errorf("entry %d is missing: a log file before %s is gone", i, s.log.segments[0].path)
	}
	if got.torn {
		if err := errors.Join(zero(g.file, got.end, g.size), g.file.Sync()); err != nil {
			return err
		}
		if s.options.Cut != nil {
			s.options.Cut(g.path, got.end)
		}
	}
	s.end, s.sequence = got.end, got.sequence
	return s.sweep()
}
