package raft

import hraft "github.com/hashicorp/raft"

// followLeadership passes on when this peer begins and ceases to lead, and when
// the leader, here or elsewhere, is another.
func (r *Raft) followLeadership() {
	watch := hraft.NewObserver(nil, false, r.leaderChanged)
	r.hraft.RegisterObserver(watch)
	defer r.hraft.DeregisterObserver(watch)
	r.route()
	for {
		select {
		case leads := <-r.leads:
			r.graces.lead(leads)
			r.silences.lead(leads)
		case <-r.changed:
			r.route()
		case <-r.stop:
			return
		}
	}
}

// leaderChanged is called by hashicorp/raft, on its own goroutine.
func (r *Raft) leaderChanged(o *hraft.Observation) bool {
	if _, leader := o.Data.(hraft.LeaderObservation); leader {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
	return false // nothing else listens
}

func (r *Raft) route() {
	_, leader := r.hraft.LeaderWithID()
	r.proposer.route(leader != "")
}

func (r *Raft) leading() bool { return r.hraft.State() == hraft.Leader }

// Term returns Raft's term.
func (r *Raft) Term() uint64 { return r.hraft.CurrentTerm() }

// Leading says whether this peer takes itself for the leader.
func (r *Raft) Leading() bool { return r.leading() }
