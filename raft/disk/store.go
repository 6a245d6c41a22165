package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds in bytes.
const (
	defaultSegment = 8 << 20
	minSegment     = 4 << 10
	maxSegment     = 1 << 30
	maxFrame       = 1 << 20 // of a batch, but for one entry that is larger alone
	maxStable      = 16 << 10
)

// Options are how a Store is opened. The zero value is good.
type Options struct {
	// SegmentBytes is the size of a new segment file, 4 KiB to 1 GiB; 0 means 8 MiB. It bounds an entry: see
	// Store.MaxEntry. Segments that exist keep their size.
	SegmentBytes int64
	// Synced, if set, is told after each fdatasync of a batch how long it took and how many log entries it made
	// durable (0: a value of the stable store, a deletion, or the start of a segment). It must not block nor call the store.
	Synced func(d time.Duration, entries int)
	// Cut, if set, is told while the store opens that a crash left part of a batch, which nobody was told of, at the
	// end of a file, and that it was cut off there.
	Cut func(path string, offset int64)
}

// Store is Raft's log and stable store in one directory. Its methods may be called from several goroutines; writes go
// one after another, and no read waits for a write to reach the disk.
type Store struct {
	dir     string
	options Options
	busy    atomic.Int64 // nanoseconds from born to the start of the write under way, or 0
	born    time.Time

	write    sync.Mutex // held through every write; guards what is here
	failed   error      // of the first write that failed: no other is tried
	frame    frame
	places   []loc
	end      int64  // of what was written to the last segment
	sequence uint64 // of the last batch
	next     chan made

	mu     sync.RWMutex // never held during a write; guards what is here
	log    index
	stable map[string][]byte
	tail   tail
}

// made is a blank file for the next segment, or why there is none.
type made struct {
	file *os.File
	err  error
}

// Open opens the store in a directory of its own, which it makes, with mode 0700, if there is none. What a crash can
// leave is put right; any other damage is an error that names the file, and nothing is changed then. The caller sees
// to it that a directory is opened once at a time.
func Open(dir string, o Options) (*Store, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegment
	}
	if o.SegmentBytes < minSegment || o.SegmentBytes > maxSegment {
		return nil, fmt.Errorf("SegmentBytes is %d: not within %d to %d", o.SegmentBytes, minSegment, maxSegment)
	}
	s := &Store{dir: dir, options: o, born: time.Now(), stable: map[string][]byte{}}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("log store: %w", err)
	}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("log store: %w", errors.Join(err, s.closeFiles()))
	}
	return s, nil
}

// makeDir makes a directory and those above it, durably.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, os.ErrExist):
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", dir)
		}
		return err
	case errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// Busy is for how long the write that is under way has been running; 0 if there is none. A disk that hangs shows here.
func (s *Store) Busy() time.Duration {
	since := s.busy.Load()
	if since == 0 {
		return 0
	}
	return time.Since(s.born) - time.Duration(since)
}

// errClosed is what a write to a closed store gets.
var errClosed = errors.New("the log store is closed")

// Close waits for a write that is under way and closes all files. Writes fail from then on; closing again does nothing.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
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
	s.log.segments = nil
	s.log.first, s.log.last = 0, 0
	return err
}
