package disk

import (
	"errors"
	"fmt"
	"os"

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

// GetLog reads an entry, from memory if it is among the newest 1,024 (and 4 MiB). Its bytes may be shared: do not change
// them. The error is hraft.ErrLogNotFound for an entry that the log does not hold, and names the file for a damaged one.
func (s *Store) GetLog(i uint64, l *hraft.Log) error {
	s.mu.RLock()
	if s.tail.get(i, l) {
		s.mu.RUnlock()
		return nil
	}
	g, at, ok := s.log.find(i)
	s.mu.RUnlock()
	if !ok {
		return hraft.ErrLogNotFound
	}
	err := g.read(i, at, l)
	if errors.Is(err, os.ErrClosed) { // deleted just now; nothing was written to its place
		return hraft.ErrLogNotFound
	}
	if err != nil {
		return fmt.Errorf("log store: entry %d: %w", i, err)
	}
	return nil
}
