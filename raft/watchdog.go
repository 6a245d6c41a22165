package raft

import (
	"fmt"
	"time"
)

// Busy is for how long the write to the log under way has been running; 0 when
// there is none, or nobody knows.
func (g *guard) Busy() time.Duration {
	if b, ok := g.stores.(interface{ Busy() time.Duration }); ok {
		return b.Busy()
	}
	return 0
}

const (
	diskEvery = time.Second      // between two looks at the disk
	diskHangs = 30 * time.Second // a write that takes longer never ends
)

// watchDisk ends the process when a write to the log does not end. Long before,
// the transport has fallen silent, so that the others have another leader.
func (r *Raft) watchDisk() {
	for {
		select {
		case <-time.After(diskEvery):
		case <-r.stop:
			return
		}
		if took := r.guard.Busy(); took > diskHangs {
			r.guard.once.Do(func() {
				r.options.Fatal(fmt.Errorf("the disk failed, so this peer must not go on: a write to the log has been hanging for %v", took.Truncate(time.Second)))
			})
			return
		}
	}
}
