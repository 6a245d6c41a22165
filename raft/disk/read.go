package disk

import (
	"encoding/binary"
	"fmt"
	"slices"

	hraft "github.com/hashicorp/raft"
)

// FirstIndex returns the index of the oldest entry, 0 if there is none.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.log.first, nil
}

// LastIndex returns the index of the newest entry, 0 if there is none.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.log.last, nil
}

// GetLog reads an entry, from memory if it is among the newest. Its bytes may be shared: do not change them. The error is
// hraft.ErrLogNotFound for an entry that the log does not hold.
func (s *Store) GetLog(i uint64, l *hraft.Log) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tail.get(i, l) {
		return nil
	}
	g, at, ok := s.log.find(i)
	if !ok {
		return hraft.ErrLogNotFound
	}
	var r record
	if err := g.read(at, &r); err != nil {
		return fmt.Errorf("log store: entry %d: %w", i, err)
	}
	if r.entry.Index != i {
		return fmt.Errorf("log store: entry %d: %w", i, damaged(g.path, int64(at.offset), "another entry is there"))
	}
	*l = r.entry
	return nil
}

// Set makes a value durable under a name. All of them together may take 16 KiB, a quarter of a segment if that is less.
func (s *Store) Set(name, value []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.failed != nil {
		return s.failed
	}
	total := recordHeader + len(name) + len(value)
	for n, v := range s.stable {
		if n != string(name) {
			total += recordHeader + len(n) + len(v)
		}
	}
	if total > s.maxStable() {
		return fmt.Errorf("stable store: %q makes it %d bytes, more than %d", name, total, s.maxStable())
	}
	size := frameHeader + recordHeader + len(name) + len(value)
	if err := s.note(func() { s.frame.set(string(name), value) }, size); err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stable[string(name)] = slices.Clone(value)
	return nil
}

// Get returns a value, empty if nothing was set under the name.
func (s *Store) Get(name []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.stable[string(name)]), nil
}

// SetUint64 makes a number durable under a name.
func (s *Store) SetUint64(name []byte, n uint64) error {
	return s.Set(name, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 returns a number, 0 if nothing was set under the name.
func (s *Store) GetUint64(name []byte) (uint64, error) {
	v, _ := s.Get(name)
	switch len(v) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(v), nil
	}
	return 0, fmt.Errorf("stable store: %q holds %d bytes, not a number", name, len(v))
}
