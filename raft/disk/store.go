package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds in bytes.
const (
	defaultSegment = 8 << 20
	minSegment     = 4 << 10
	maxSegment     = 1 << 30
	maxFrame       = 1 << 20 // of a batch, unless one entry alone is larger
	maxStable      = 16 << 10
)

// Options are how a Store is opened. The zero value is good. The hooks run inside of writes: they must neither block
// nor call the store.
type Options struct {
	// SegmentBytes is the size of a new segment file: 4 KiB to 1 GiB, 0 means 8 MiB. It bounds an entry, see
	// Store.MaxEntry. Files that exist keep their size.
	SegmentBytes int64
	// Synced, if set, is told after each fdatasync of a batch how long it took and how many log entries it made
	// durable; 0 entries are a value of the stable store, a deletion, or the seal of a segment.
	Synced func(took time.Duration, entries int)
	// Failed, if set, is told once of the first write or sync that failed. No write succeeds from then on.
	Failed func(error)
	// Cut, if set, is told by Open of a file at whose end, from offset on, a crash had left part of a batch. Nobody was
	// told that this batch was stored; it is erased.
	Cut func(path string, offset int64)
}

// Store is Raft's log and stable store in one directory. All methods may be called at any time by any goroutine. Writes
// go one after another; reads do not wait for them.
type Store struct {
	dir     string
	id      uint64 // of the log: see header
	options Options
	born    time.Time
	busy    atomic.Int64 // when the operation under way began, in nanoseconds since born; 0 if there is none

	write    sync.Mutex // held through a whole operation that writes; guards what stands here
	failed   error      // what every later write answers
	frame    frame
	places   []loc     // of the entries of the frame
	end      int64     // of the last batch, in the last segment
	sequence uint64    // of the last batch
	next     chan made // the file of the next segment, once one is being made

	mu     sync.RWMutex // held for moments only; a writer holds both and may read with the first alone
	log    index
	stable map[string][]byte
	tail   tail
}

// made is an empty file for the next segment, or why there is none.
type made struct {
	file *os.File
	err  error
}

// errClosed is what a write to a closed store gets.
var errClosed = errors.New("the log store is closed")

// begin waits until no other operation writes, and counts the time from then on.
func (s *Store) begin() {
	s.write.Lock()
	s.busy.Store(max(1, int64(time.Since(s.born))))
}

func (s *Store) done() {
	s.busy.Store(0)
	s.write.Unlock()
}

// Busy is for how long the writing operation under way has been running, 0 if there is none. A hung disk shows here. It
// never blocks.
func (s *Store) Busy() time.Duration {
	began := s.busy.Load()
	if began == 0 {
		return 0
	}
	return time.Since(s.born) - time.Duration(began)
}

// fail notes the first write that failed. What is on the disk is unknown then, and stays so: a second fsync may report
// success for what the first one lost. So nothing is written any more.
func (s *Store) fail(err error) error {
	err = fmt.Errorf("log store: %w", err)
	s.failed = fmt.Errorf("log store stopped by an earlier failure: %w", err)
	if s.options.Failed != nil {
		s.options.Failed(err)
	}
	return err
}

// Close waits for the operation under way and closes all files. Writes fail and nothing is found from then on. Closing
// again does nothing.
func (s *Store) Close() error {
	s.begin()
	defer s.done()
	if errors.Is(s.failed, errClosed) {
		return nil
	}
	s.failed = errClosed
	var err error
	if s.next != nil {
		if m := <-s.next; m.file != nil {
			err = errors.Join(m.file.Close(), os.Remove(m.file.Name()))
		}
	}
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.log.segments {
		err = errors.Join(err, g.file.Close())
	}
	s.log, s.tail = index{}, tail{}
	return err
}
