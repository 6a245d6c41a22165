package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Open opens the store in a directory of its own and makes that, with mode 0700, if there is none. What a crash can
// leave is put right; any other damage is an error that names the file, and no segment is changed then. The whole log
// is read and checked. The caller sees to it that a directory is not opened twice at a time.
func Open(dir string, o Options) (*Store, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegment
	}
	if o.SegmentBytes < minSegment || o.SegmentBytes > maxSegment {
		return nil, fmt.Errorf("SegmentBytes is %d, not within %d to %d", o.SegmentBytes, minSegment, maxSegment)
	}
	s := &Store{dir: dir, options: o, born: time.Now(), stable: map[string][]byte{}}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("log store: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("log store: %w", errors.Join(err, s.closeFiles()))
	}
	return s, nil
}

// makeDir makes a directory and those above it, durably.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if errors.Is(err, os.ErrExist) {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", dir)
		}
		return err
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// load reads all segments, oldest first, and leaves the store as the last acknowledged write left it.
func (s *Store) load() error {
	if err := os.Remove(filepath.Join(s.dir, unfinished)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	numbers, err := segments(s.dir)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return s.found()
	}
	var before scanned // in the segment before
	var early string   // the path of a segment that was started before the one before it was sealed
	var buf []byte
	for i, n := range numbers {
		if due := numbers[0] + uint64(i); n != due {
			return fmt.Errorf("log file %s is missing", segmentPath(s.dir, due))
		}
		g, h, data, err := open(segmentPath(s.dir, n), n, buf)
		if err != nil {
			return err
		}
		if i == 0 {
			s.id = h.log
		}
		s.log.segments = append(s.log.segments, g)
		if h.log != s.id {
			return damaged(g.path, 0, "it is of another log than the segment before")
		}
		got, err := s.replay(g, data, i == 0, before)
		if err != nil {
			return fmt.Errorf("log file %s is damaged: %w", g.path, err)
		}
		if i > 0 && !before.sealed {
			if i < len(numbers)-1 || got.frames > 1 || got.torn {
				return damaged(s.log.segments[i-1].path, before.end, "no seal, though batches follow in "+g.path)
			}
			s.log.segments, early = s.log.segments[:i], g.path
			if err := g.file.Close(); err != nil {
				return err
			}
			break
		}
		before, buf = got, data
	}
	return s.settle(before, early)
}

// found starts segment 1 of an empty directory.
func (s *Store) found() error {
	s.id = rand.Uint64()
	f, err := blank(s.dir, s.options.SegmentBytes)
	if err != nil {
		return err
	}
	g, end, err := s.start(f, 1, 1)
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
		if _, err := fmt.Sscanf(f.Name(), segmentName, &n); err == nil && f.Name() == fmt.Sprintf(segmentName, n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// replay applies the records of a segment to the log and the stable store.
func (s *Store) replay(g *segment, data []byte, oldest bool, before scanned) (scanned, error) {
	sequence := before.sequence + 1
	switch {
	case oldest:
		sequence = 0
	case !before.sealed:
		sequence++ // the seal's
	}
	begins := true
	got, err := scan(data, g.seed, sequence, func(r *record) error {
		if begins != (r.kind == stateRecord) {
			return errors.New("a segment begins with the state of the log, and only there is it told")
		}
		begins = false
		return s.apply(r, oldest)
	})
	if err == nil && got.frames == 0 {
		err = errors.New("the state of the log is missing")
	}
	return got, err
}

func (s *Store) apply(r *record, oldest bool) error {
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
			return fmt.Errorf("the log is %d to %d here and %d to %d in the segments before",
				r.first, r.last, s.log.first, s.log.last)
		}
	}
	return nil
}

// settle checks the whole and makes the last segment ready to be written to. A segment that came early is removed: the
// crash came before its first batch.
func (s *Store) settle(got scanned, early string) error {
	g := s.last()
	if got.sealed {
		return fmt.Errorf("log file %s is missing: the one before is sealed", segmentPath(s.dir, g.number+1))
	}
	if i := s.log.hole(); i != 0 {
		oldest := s.log.segments[0]
		return fmt.Errorf("log file %s is missing: it holds entry %d", segmentPath(s.dir, oldest.number-1), i)
	}
	if used := s.stableBytes(""); used > s.maxStable() {
		return fmt.Errorf("SegmentBytes is %d: too small for the %d bytes of the stable store", s.options.SegmentBytes, used)
	}
	if early != "" {
		if err := errors.Join(os.Remove(early), syncDir(s.dir)); err != nil {
			return err
		}
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
