package disk

import (
	"errors"
	"fmt"
	"os"
	"time"

	hraft "github.com/hashicorp/raft"
)

// IsMonotonic tells Raft to empty the log itself when a snapshot takes the place of it, instead of leaving a gap.
func (s *Store) IsMonotonic() bool { return true }

// MaxEntry is the largest entry, data and extensions together in bytes, that this store takes.
func (s *Store) MaxEntry() int {
	return int(s.options.SegmentBytes) - segmentHeader - s.stateBound() - sealFrame - padded(frameHeader+rangeRecord+entryHeader)
}

// stateBound is the size of the largest frame that a segment can begin with.
func (s *Store) stateBound() int { return padded(frameHeader + rangeRecord + s.maxStable()) }

func (s *Store) maxStable() int { return min(maxStable, int(s.options.SegmentBytes)/4) }

// StoreLog stores one entry; see StoreLogs.
func (s *Store) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

// StoreLogs makes entries durable. Their indexes rise by one; the first follows on the last entry, or lies beyond it:
// then a snapshot covers all that the log holds, and the entries take its place. An error that says so leaves the store
// as it was; after an error of the disk an unknown part of the entries is stored, and every later write fails.
func (s *Store) StoreLogs(logs []*hraft.Log) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.admit(logs); err != nil || len(logs) == 0 {
		return err
	}
	for len(logs) > 0 {
		n, err := s.append(logs)
		if err != nil {
			return s.fail(err)
		}
		logs = logs[n:]
	}
	return nil
}

// admit refuses what cannot be stored before anything is.
func (s *Store) admit(logs []*hraft.Log) error {
	if s.failed != nil {
		return s.failed
	}
	for i, l := range logs {
		switch {
		case i == 0 && (l.Index == 0 || l.Index <= s.log.last):
			return fmt.Errorf("entry %d: the log holds entries up to %d, and a new one lies beyond", l.Index, s.log.last)
		case i > 0 && l.Index != logs[i-1].Index+1:
			return fmt.Errorf("entry %d: it follows entry %d in a batch", l.Index, logs[i-1].Index)
		case entryWeight(l) > s.MaxEntry():
			return fmt.Errorf("entry %d: %d bytes are more than %d", l.Index, entryWeight(l), s.MaxEntry())
		}
	}
	return nil
}

// append writes one frame of the first few entries, moving to the next segment if there is no room, and returns how many.
func (s *Store) append(logs []*hraft.Log) (int, error) {
	gap := s.log.last != 0 && logs[0].Index != s.log.last+1
	size := frameHeader + rangeRecord
	if padded(size+entryBytes(logs[0])) > s.room() {
		if err := s.rotate(); err != nil {
			return 0, err
		}
	}
	seg := s.last()
	s.frame.begin(seg.seed)
	s.places = s.places[:0]
	if gap {
		s.frame.bounds(keepRecord, 0, 0)
	}
	n := 0
	for _, l := range logs {
		size += entryBytes(l)
		if n > 0 && padded(size) > min(maxFrame, s.room()) {
			break
		}
		at := s.frame.entry(l)
		at.offset += uint32(s.end)
		s.places = append(s.places, at)
		n++
	}
	if err := s.commit(n); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if gap {
		if err := s.keepLocked(0, 0); err != nil {
			return 0, err
		}
	}
	for i, l := range logs[:n] {
		if err := s.log.add(l.Index, s.places[i]); err != nil {
			return 0, err
		}
		s.tail.push(l)
	}
	return n, nil
}

// DeleteRange deletes entries lo to hi, durably, from the front or from the back of the log (or all); from its middle is an
// error. What the log does not hold counts as deleted. Segments that hold nothing more are removed.
func (s *Store) DeleteRange(lo, hi uint64) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.failed != nil {
		return s.failed
	}
	first, last := s.log.first, s.log.last
	switch {
	case last == 0 || lo > hi || hi < first || lo > last:
		return nil
	case lo <= first && hi >= last:
		first, last = 0, 0
	case lo <= first:
		first = hi + 1
	case hi >= last:
		last = lo - 1
	default:
		return fmt.Errorf("entries %d to %d lie in the middle of the log, %d to %d", lo, hi, first, last)
	}
	err := s.note(func() { s.frame.bounds(keepRecord, first, last) }, frameHeader+rangeRecord)
	if err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	err = s.keepLocked(first, last)
	s.mu.Unlock()
	if err != nil {
		return s.fail(err)
	}
	return s.sweep()
}

func (s *Store) keepLocked(first, last uint64) error {
	s.tail.cut(first, last)
	return s.log.keep(first, last)
}

// note writes a frame that holds no entries and is size bytes without its padding.
func (s *Store) note(fill func(), size int) error {
	if padded(size) > s.room() {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	s.frame.begin(s.last().seed)
	fill()
	return s.commit(0)
}

// sweep removes the segments at the front that hold nothing of the log, the oldest first: no crash leaves a hole.
func (s *Store) sweep() error {
	for len(s.log.segments) > 1 && len(s.log.segments[0].locs) == 0 {
		g := s.log.segments[0]
		if err := errors.Join(os.Remove(g.path), syncDir(s.dir)); err != nil {
			return fmt.Errorf("log store: %w", err)
		}
		s.mu.Lock()
		s.log.segments = s.log.segments[1:]
		s.mu.Unlock()
		if err := g.file.Close(); err != nil {
			return fmt.Errorf("log store: %w", err)
		}
	}
	return nil
}

func (s *Store) last() *segment { return s.log.segments[len(s.log.segments)-1] }

// room is how many bytes are free in the last segment. What seals it always fits.
func (s *Store) room() int { return int(s.last().size - s.end - sealFrame) }

// commit writes the frame, with so many entries, behind the last one and waits until it is on the disk.
func (s *Store) commit(entries int) error {
	b := s.frame.finish(s.sequence + 1)
	g := s.last()
	began := time.Since(s.born)
	s.busy.Store(int64(began))
	defer s.busy.Store(0)
	if _, err := g.file.WriteAt(b, s.end); err != nil {
		return err
	}
	if err := s.sync(g, entries); err != nil {
		return err
	}
	s.end += int64(len(b))
	s.sequence++
	if s.next == nil && s.end > g.size/2 {
		s.prepare()
	}
	return nil
}

func (s *Store) sync(g *segment, entries int) error {
	if s.options.Synced == nil {
		return syncData(g.file)
	}
	began := time.Now()
	err := syncData(g.file)
	s.options.Synced(time.Since(began), entries)
	return err
}

// prepare makes the file of the next segment beside the writes. Close waits for it.
func (s *Store) prepare() {
	next := make(chan made, 1)
	s.next = next
	go func() {
		f, err := blank(s.dir, s.options.SegmentBytes)
		next <- made{f, err}
	}()
}

// rotate starts the next segment and then seals the last one: where a seal is, the next segment must be.
func (s *Store) rotate() error {
	s.busy.Store(int64(time.Since(s.born)))
	defer s.busy.Store(0)
	m := made{err: errors.New("none was made")}
	if s.next != nil {
		m = <-s.next
		s.next = nil
	}
	if m.err != nil {
		f, err := blank(s.dir, s.options.SegmentBytes)
		if err != nil {
			return fmt.Errorf("start a segment: %w", err)
		}
		m.file = f
	}
	g, end, err := start(m.file, s.dir, s.last().number+1, s.options.SegmentBytes, s.state(s.sequence+2))
	if err != nil {
		return fmt.Errorf("start a segment: %w", errors.Join(err, m.file.Close()))
	}
	s.frame.begin(s.last().seed)
	s.frame.sealed()
	if err := s.commit(0); err != nil {
		return errors.Join(err, g.file.Close())
	}
	s.mu.Lock()
	s.log.segments = append(s.log.segments, g)
	s.mu.Unlock()
	s.end = end
	s.sequence++
	return nil
}

// state encodes the frame that says how log and stable store stand.
func (s *Store) state(sequence uint64) func(seed uint32) []byte {
	return func(seed uint32) []byte {
		s.frame.begin(seed)
		s.frame.bounds(stateRecord, s.log.first, s.log.last)
		for name, value := range s.stable {
			s.frame.set(name, value)
		}
		return s.frame.finish(sequence)
	}
}

// fail notes the first write that failed. What is on the disk is unknown from then on, so nothing more is written:
// a second fsync may report success for pages that the first one lost.
func (s *Store) fail(err error) error {
	err = fmt.Errorf("log store: %w", err)
	s.failed = fmt.Errorf("log store stopped by an earlier failure: %w", err)
	return err
}
