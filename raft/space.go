package raft

import (
	"fmt"
	"syscall"
	"time"
)

const (
	spaceEvery = 200 * time.Millisecond // between two looks at the disk
	minReserve = 24 << 20               // three segments of the log
	maxReserve = 256 << 20
)

// space watches how full the disk is. Lists may not grow any more when only
// the reserve is left, which is for what makes them shorter: endings, and the
// snapshots after which the log can be cut.
type space struct {
	reserve uint64 // bytes
	measure func() (free, size uint64, err error)
	changed func(low error) // is told when it gets low, and with nil when it is not any more
	looked  time.Time
	low     error
}

// newSpace reserves so many bytes, or when 0 a twentieth of the disk, within 24
// to 256 MiB.
func newSpace(measure func() (free, size uint64, err error), reserve uint64) (*space, error) {
	s := &space{reserve: reserve, measure: measure, changed: func(error) {}}
	_, size, err := s.measure()
	if err != nil {
		return nil, fmt.Errorf("how full the disk is: %w", err)
	}
	if s.reserve == 0 {
		s.reserve = min(max(size/20, minReserve), maxReserve)
	}
	return s, nil
}

// full says why nothing may grow; nil: it may. One goroutine calls it.
func (s *space) full() error {
	if now := time.Now(); now.Sub(s.looked) >= spaceEvery {
		s.looked = now
		s.look()
	}
	return s.low
}

func (s *space) look() {
	free, _, err := s.measure()
	if err == nil && free < s.reserve {
		err = fmt.Errorf("the disk of this peer is nearly full: %d MiB are left and kept for endings", free>>20)
	}
	was := s.low
	s.low = err
	if (was == nil) != (err == nil) {
		s.changed(err)
	}
}

func statfs(path string) (free, size uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, 0, err
	}
	block := uint64(st.Bsize)
	return st.Bavail * block, st.Blocks * block, nil
}
