package raft

import (
	"time"

	"vera"
)

// Incarnation returns under which number this peer hands over commands now.
func (r *Raft) Incarnation() uint64 { return r.incarnation }

// Status returns what this peer knows of its cluster. Draining is not its
// business.
func (r *Raft) Status() vera.Status {
	applied := r.machine.Applied()
	s := vera.Status{Peer: r.directory.Name, Applied: applied, Committed: max(applied, r.hraft.CommitIndex())}
	if _, leader := r.hraft.LeaderWithID(); leader != "" {
		s.Leader = peerName(leader)
	}
	s.Suspended = s.Leader == ""
	if !r.leading() {
		s.LastContact = time.Since(r.hraft.LastContact())
	}
	return s
}

// LeaderContact returns the last moment at which this peer was surely in touch
// with a leader that had the majority: now when it votes alone and leads, else
// when it sent what was committed since. Zero: never since the start.
func (r *Raft) LeaderContact() time.Time {
	if r.leading() && r.peers.alone() {
		return time.Now()
	}
	return r.proposer.lastProof()
}
