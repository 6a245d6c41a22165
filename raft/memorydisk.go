package raft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// memoryDisk is what a peer's disk in a Memory holds.
type memoryDisk struct {
	name string

	mu        sync.Mutex
	changed   sync.Cond
	owner     *memoryStores // of the peer that runs; nil: none does
	files     map[string][]byte
	stable    map[string][]byte
	log       []hraft.Log // indexes rise by one
	snapshots []*memorySnapshot
	taken     int // snapshots so far

	left       int    // tests: writes until the peer crashes; 0: it does not
	crash      func() // is called then
	hung, full bool
	each       time.Duration
	failing    error
}

func newMemoryDisk(name string) *memoryDisk {
	d := &memoryDisk{name: name, files: map[string][]byte{}, stable: map[string][]byte{}}
	d.changed.L = &d.mu
	return d
}

func (d *memoryDisk) change(f func(*memoryDisk)) {
	d.mu.Lock()
	f(d)
	d.mu.Unlock()
	d.changed.Broadcast()
}

// leave has all writes of the peer that runs fail.
func (d *memoryDisk) leave() { d.change(func(d *memoryDisk) { d.owner = nil }) }

// claim gives a starting peer the disk.
func (d *memoryDisk) claim() (s *memoryStores, err error) {
	d.change(func(d *memoryDisk) {
		if d.owner != nil {
			err = fmt.Errorf("the disk of %s is in use: close the peer first", d.name)
			return
		}
		s = &memoryStores{disk: d}
		d.owner = s
	})
	return s, err
}

// memoryStores are a running peer's way to its disk: log, stable store,
// snapshots and small files.
type memoryStores struct {
	disk  *memoryDisk
	began time.Time // of the write under way; guarded by disk.mu
}

var (
	_ stores              = (*memoryStores)(nil)
	_ files               = (*memoryStores)(nil)
	_ hraft.SnapshotStore = (*memoryStores)(nil)
)

// change makes a change to the disk, all of it or, with an error, nothing.
func (s *memoryStores) change(f func(*memoryDisk) error) error {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	s.began = time.Now()
	defer func() { s.began = time.Time{} }()
	if d.each > 0 {
		over := false
		time.AfterFunc(d.each, func() { d.change(func(*memoryDisk) { over = true }) })
		for !over && d.owner == s {
			d.changed.Wait()
		}
	}
	for d.hung && d.owner == s {
		d.changed.Wait()
	}
	if d.owner != s {
		return ErrCrashed
	}
	if d.failing != nil {
		return d.failing
	}
	err := f(d)
	if d.left--; d.left == 0 {
		d.owner = nil
		go d.crash()
	}
	return err
}

// Busy is for how long the write under way has been running; 0: there is none.
func (s *memoryStores) Busy() time.Duration {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.began.IsZero() {
		return 0
	}
	return time.Since(s.began)
}

// Close lets another peer have the disk.
func (s *memoryStores) Close() error {
	s.disk.change(func(d *memoryDisk) {
		if d.owner == s {
			d.owner = nil
		}
	})
	return nil
}

// IsMonotonic says that the log has no gaps.
func (s *memoryStores) IsMonotonic() bool { return true }

// FirstIndex returns the index of the oldest entry; 0: there is none.
func (s *memoryStores) FirstIndex() (uint64, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.first(), nil
}

// LastIndex returns the index of the newest entry; 0: there is none.
func (s *memoryStores) LastIndex() (uint64, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.last(), nil
}

func (d *memoryDisk) first() uint64 {
	if len(d.log) == 0 {
		return 0
	}
	return d.log[0].Index
}

func (d *memoryDisk) last() uint64 {
	if len(d.log) == 0 {
		return 0
	}
	return d.log[len(d.log)-1].Index
}

// GetLog reads an entry, or returns hraft.ErrLogNotFound.
func (s *memoryStores) GetLog(index uint64, l *hraft.Log) error {
	d := s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.log) == 0 || index < d.first() || index > d.last() {
		return hraft.ErrLogNotFound
	}
	*l = d.log[index-d.first()]
	return nil
}

// StoreLog stores one entry.
func (s *memoryStores) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

// StoreLogs stores entries behind the last one. Beyond a gap they take the
// place of all before.
func (s *memoryStores) StoreLogs(logs []*hraft.Log) error {
	return s.change(func(d *memoryDisk) error {
		for _, l := range logs {
			switch last := d.last(); {
			case last != 0 && l.Index <= last:
				return fmt.Errorf("entry %d is not beyond entry %d, the last one", l.Index, last)
			case last != 0 && l.Index > last+1:
				d.log = nil
			}
			d.log = append(d.log, *l)
		}
		return nil
	})
}

// DeleteRange deletes entries from the front or the back of the log.
func (s *memoryStores) DeleteRange(lo, hi uint64) error {
	return s.change(func(d *memoryDisk) error {
		first, last := d.first(), d.last()
		switch {
		case last == 0 || lo > hi || hi < first || lo > last:
		case lo <= first && hi >= last:
			d.log = nil
		case lo <= first:
			d.log = slices.Clone(d.log[hi+1-first:])
		case hi >= last:
			d.log = slices.Clone(d.log[:lo-first])
		default:
			return fmt.Errorf("entries %d to %d lie in the middle of %d to %d", lo, hi, first, last)
		}
		return nil
	})
}

// Set keeps a value.
func (s *memoryStores) Set(name, value []byte) error {
	return s.change(func(d *memoryDisk) error {
		d.stable[string(name)] = bytes.Clone(value)
		return nil
	})
}

// Get returns a value, nil if there is none.
func (s *memoryStores) Get(name []byte) ([]byte, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.stable[string(name)], nil
}

// SetUint64 keeps a number.
func (s *memoryStores) SetUint64(name []byte, n uint64) error {
	return s.Set(name, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 returns a number, 0 if there is none.
func (s *memoryStores) GetUint64(name []byte) (uint64, error) {
	v, err := s.Get(name)
	if len(v) < 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), err
}

func (s *memoryStores) blank() error { return nil }

func (s *memoryStores) read(name string) ([]byte, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	content, ok := s.disk.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return bytes.Clone(content), nil
}

func (s *memoryStores) secret(name string) ([]byte, error) { return s.read(name) }

func (s *memoryStores) write(name string, content []byte) error {
	return s.change(func(d *memoryDisk) error {
		d.files[name] = bytes.Clone(content)
		return nil
	})
}

func (s *memoryStores) measure() (free, size uint64, err error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.disk.full {
		return 0, 1 << 30, nil
	}
	return 1 << 30, 1 << 30, nil
}

// memorySnapshot is a snapshot, or one that is being written.
type memorySnapshot struct {
	bytes.Buffer
	to   *memoryStores
	meta hraft.SnapshotMeta
}

// Create begins a snapshot; it counts when it is closed.
func (s *memoryStores) Create(version hraft.SnapshotVersion, index, term uint64, c hraft.Configuration, at uint64, _ hraft.Transport) (hraft.SnapshotSink, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.taken++
	return &memorySnapshot{to: s, meta: hraft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d-%d", term, index, s.disk.taken),
		Index: index, Term: term, Configuration: c, ConfigurationIndex: at,
	}}, nil
}

// List returns what the snapshots say of themselves, the newest first.
func (s *memoryStores) List() (all []*hraft.SnapshotMeta, err error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	for _, one := range s.disk.snapshots {
		meta := one.meta
		all = append(all, &meta)
	}
	return all, nil
}

// Open reads a snapshot.
func (s *memoryStores) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	for _, one := range s.disk.snapshots {
		if one.meta.ID == id {
			meta := one.meta
			return &meta, io.NopCloser(bytes.NewReader(one.Bytes())), nil
		}
	}
	return nil, nil, fmt.Errorf("snapshot %s: %w", id, fs.ErrNotExist)
}

// ID returns the snapshot's name.
func (m *memorySnapshot) ID() string { return m.meta.ID }

// Cancel drops a snapshot that is being written.
func (m *memorySnapshot) Cancel() error { return nil }

// Close makes a snapshot the newest; two are kept.
func (m *memorySnapshot) Close() error {
	return m.to.change(func(d *memoryDisk) error {
		m.meta.Size = int64(m.Len())
		d.snapshots = append([]*memorySnapshot{m}, d.snapshots...)
		slices.SortStableFunc(d.snapshots, func(a, b *memorySnapshot) int {
			return moment{b.meta.Term, b.meta.Index}.compare(moment{a.meta.Term, a.meta.Index})
		})
		d.snapshots = d.snapshots[:min(len(d.snapshots), snapshotsKept)]
		return nil
	})
}
