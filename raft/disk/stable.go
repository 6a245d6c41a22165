package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// maxStable is how many bytes the stable store may hold: every segment begins with all of it.
func (s *Store) maxStable() int { return min(maxStable, int(s.options.SegmentBytes)/4) }

// stableBytes is how many it holds, each value with its name and 16 bytes more, but for the one under a name.
func (s *Store) stableBytes(but string) (n int) {
	for name, value := range s.stable {
		if name != but {
			n += recordHeader + len(name) + len(value)
		}
	}
	return n
}

// Set makes a value durable under a name. All values together, with their names and 16 bytes each, may have 16 KiB, or a
// quarter of a segment if that is less; more is refused and changes nothing.
func (s *Store) Set(name, value []byte) error {
	s.begin()
	defer s.done()
	if s.failed != nil {
		return s.failed
	}
	if old, ok := s.stable[string(name)]; ok && bytes.Equal(old, value) {
		return nil
	}
	size := recordHeader + len(name) + len(value)
	if total := size + s.stableBytes(string(name)); total > s.maxStable() {
		return fmt.Errorf("stable store: with %.40q it has %d bytes, more than %d", name, total, s.maxStable())
	}
	if err := s.note(frameHeader+size, func() { s.frame.set(string(name), value) }); err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stable[string(name)] = slices.Clone(value)
	return nil
}

// Get returns a value, nil if none was set under the name.
func (s *Store) Get(name []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.stable[string(name)]), nil
}

// SetUint64 makes a number durable under a name.
func (s *Store) SetUint64(name []byte, n uint64) error {
	return s.Set(name, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 returns a number, 0 if none was set under the name.
func (s *Store) GetUint64(name []byte) (uint64, error) {
	v, err := s.Get(name)
	switch {
	case err != nil || len(v) == 0:
		return 0, err
	case len(v) != 8:
		return 0, fmt.Errorf("stable store: %.40q holds %d bytes, not a number", name, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}
