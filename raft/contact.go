package raft

import (
	"time"

	"vera"
)

// Incarnation returns the number under which this peer hands over commands
// now, and so that of its attachments. It rises when the log says that the one
// before is over, which took all of those away.
func (r *Raft) Incarnation() uint64 {
	r.proposer.mu.Lock()
	defer r.proposer.mu.Unlock()
	return r.proposer.incarnation
}

// Status returns what this peer knows of its cluster. Draining is not its
// business.
func (r *Raft) Status() vera.Status {
	applied := r.machine.Applied()
	s := vera.Status{Peer: r.directory.Name, Applied: applied, Committed: max(applied, r.commitIndex())}
	if _, leader := r.hraft.LeaderWithID(); leader != "" {
		s.Leader = peerName(leader)
	}
	s.Suspended = time.Since(r.LeaderContact()) > r.options.Suspect
	s.Diverged = r.fellows.diverged()
	if !r.leading() {
		s.LastContact = time.Since(r.hraft.LastContact())
	}
	return s
}

// LeaderContact returns the last moment at which this peer was surely in touch
// with a leader that had the majority: now when it votes alone and leads, else
// when it handed over the newest of what was applied since. A leader counts a
// peer's silence from a later moment. Zero: never since the start.
func (r *Raft) LeaderContact() time.Time {
	if r.leading() && r.peers.alone() {
		return time.Now()
	}
	return r.proposer.lastContact()
}

// pulse has a mark handed over now and then, in company, so that the others,
// and this peer, know that it is there.
func (r *Raft) pulse() {
	beat := time.NewTicker(r.options.Pulse)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			if r.peers.company() {
				r.proposer.announce()
			}
		case <-r.stop:
			return
		}
	}
}
