package disk

import (
	"errors"
	"fmt"
	"os"
	"time"

	hraft "github.com/hashicorp/raft"
)

// IsMonotonic has Raft empty the log itself when a snapshot takes its place, instead of leaving a gap.
func (s *Store) IsMonotonic() bool { return true }

// MaxEntry is the largest entry that the store takes: data and extensions together, in bytes.
func (s *Store) MaxEntry() int {
	state := padded(frameHeader + rangeRecord + s.maxStable())
	return int(s.options.SegmentBytes) - segmentHeader - state - sealFrame - frameHeader - rangeRecord - entryHeader - frameAlign
}

// StoreLog stores one entry; see StoreLogs.
func (s *Store) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

// StoreLogs makes entries durable before it returns. Their indexes rise by one, and the first lies beyond the last entry
// of the log: next to it, or further, if a snapshot covers all that the log holds; then they take its place. What breaks
// that, or MaxEntry, is refused and changes nothing. After any other error an unknown part of the entries is stored, and
// every later write answers the same error. The store keeps the entries' bytes for a while: nobody may change them.
func (s *Store) StoreLogs(logs []*hraft.Log) error {
	s.begin()
	defer s.done()
	if s.failed != nil {
		return s.failed
	}
	if err := s.admit(logs); err != nil {
		return err
	}
	for len(logs) > 0 {
		n, err := s.storeSome(logs)
		if err != nil {
			return s.fail(err)
		}
		logs = logs[n:]
	}
	return nil
}

func (s *Store) admit(logs []*hraft.Log) error {
	limit := s.MaxEntry()
	for i, l := range logs {
		switch {
		case i == 0 && l.Index <= s.log.last:
			return fmt.Errorf("log store: entry %d is not beyond entry %d, the last one", l.Index, s.log.last)
		case i > 0 && l.Index != logs[i-1].Index+1:
			return fmt.Errorf("log store: entry %d follows entry %d in a batch", l.Index, logs[i-1].Index)
		case entryWeight(l) > limit:
			return fmt.Errorf("log store: entry %d has %d bytes, more than %d", l.Index, entryWeight(l), limit)
		}
	}
	return nil
}

// storeSome stores as many of the first entries as fit into one batch, in the next segment if none fits into this one,
// and returns how many.
func (s *Store) storeSome(logs []*hraft.Log) (int, error) {
	size := frameHeader + rangeRecord
	g, err := s.withRoom(size + entryBytes(logs[0]))
	if err != nil {
		return 0, err
	}
	gap := s.log.last != 0 && logs[0].Index != s.log.last+1
	s.frame.reset(g.seed)
	s.places = s.places[:0]
	if gap {
		s.frame.bounds(keepRecord, 0, 0)
	}
	for _, l := range logs {
		size += entryBytes(l)
		if len(s.places) > 0 && padded(size) > min(maxFrame, s.room()) {
			break
		}
		at := s.frame.entry(l)
		at.offset += uint32(s.end)
		s.places = append(s.places, at)
	}
	if err := s.commit(len(s.places)); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if gap {
		err = s.keep(0, 0)
	}
	for i, at := range s.places {
		err = errors.Join(err, s.log.add(logs[i].Index, at))
		s.tail.push(logs[i])
	}
	return len(s.places), err
}

// DeleteRange deletes entries lo to hi, durably, from the front or the back of the log, or all of them; a range in its
// middle is an error. Entries that the log does not hold count as deleted. Files that hold nothing more are removed; one
// that cannot be is an error, too, and is tried again by the next deletion.
func (s *Store) DeleteRange(lo, hi uint64) error {
	s.begin()
	defer s.done()
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
		return fmt.Errorf("log store: entries %d to %d lie in the middle of %d to %d", lo, hi, first, last)
	}
	err := s.note(frameHeader+rangeRecord, func() { s.frame.bounds(keepRecord, first, last) })
	if err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	err = s.keep(first, last)
	s.mu.Unlock()
	if err != nil {
		return s.fail(err)
	}
	if err := s.sweep(); err != nil {
		return fmt.Errorf("log store: %w", err)
	}
	return nil
}

// keep cuts the log down to first..last for readers, who must be locked out.
func (s *Store) keep(first, last uint64) error {
	s.tail.cut(first, last)
	return s.log.keep(first, last)
}

// note writes a batch without entries, size bytes before its padding, that fill encodes.
func (s *Store) note(size int, fill func()) error {
	g, err := s.withRoom(size)
	if err != nil {
		return err
	}
	s.frame.reset(g.seed)
	fill()
	return s.commit(0)
}

// sweep removes the files at the front that hold nothing of the log. Each is gone for good before the next: no crash
// leaves a hole.
func (s *Store) sweep() error {
	for len(s.log.segments) > 1 && len(s.log.segments[0].locs) == 0 {
		g := s.log.segments[0]
		if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := syncDir(s.dir); err != nil {
			return err
		}
		s.mu.Lock()
		s.log.segments = s.log.segments[1:]
		s.mu.Unlock()
		if err := g.file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// last is the segment that is written to.
func (s *Store) last() *segment { return s.log.segments[len(s.log.segments)-1] }

// room is how many bytes of it are free. The seal always fits behind them.
func (s *Store) room() int { return int(s.last().size - s.end - sealFrame) }

// withRoom returns the last segment after it has made sure of room for a frame of size bytes before its padding.
func (s *Store) withRoom(size int) (*segment, error) {
	if padded(size) > s.room() {
		if err := s.rotate(); err != nil {
			return nil, err
		}
	}
	return s.last(), nil
}

// commit writes the frame behind the last one and waits until it is on the disk.
func (s *Store) commit(entries int) error {
	b := s.frame.finish(s.sequence + 1)
	g := s.last()
	if _, err := g.file.WriteAt(b, s.end); err != nil {
		return err
	}
	began := time.Since(s.born)
	if err := syncData(g.file); err != nil {
		return fmt.Errorf("%s: %w", g.path, err)
	}
	if s.options.Synced != nil {
		s.options.Synced(time.Since(s.born)-began, entries)
	}
	s.end += int64(len(b))
	s.sequence++
	if s.next == nil && s.end > g.size/2 {
		s.prepare()
	}
	return nil
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

// rotate starts the next segment and then seals this one: behind a seal there is always another segment.
func (s *Store) rotate() error {
	m := made{err: errors.New("none is being made")}
	if s.next != nil {
		m, s.next = <-s.next, nil
	}
	if m.err != nil {
		f, err := blank(s.dir, s.options.SegmentBytes)
		if err != nil {
			return fmt.Errorf("start a segment: %w", err)
		}
		m.file = f
	}
	g, end, err := s.start(m.file, s.last().number+1, s.sequence+2)
	if err != nil {
		return fmt.Errorf("start a segment: %w", errors.Join(err, m.file.Close()))
	}
	s.frame.reset(s.last().seed)
	s.frame.seal()
	if err := s.commit(0); err != nil {
		return errors.Join(err, g.file.Close())
	}
	g.locs = make([]loc, 0, len(s.last().locs))
	s.mu.Lock()
	s.log.segments = append(s.log.segments, g)
	s.mu.Unlock()
	s.end = end
	s.sequence++
	return nil
}
