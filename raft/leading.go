package raft

import (
	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// followLeadership passes on when this peer begins and ceases to lead, and when
// the leader, here or elsewhere, is another.
func (r *Raft) followLeadership() {
	watch := hraft.NewObserver(nil, false, r.leaderChanged)
	r.hraft.RegisterObserver(watch)
	defer r.hraft.DeregisterObserver(watch)
	var routed reign
	r.route(&routed)
	for {
		select {
		case leads := <-r.leads:
			r.graces.lead(leads)
			r.silences.lead(leads)
			if !leads {
				r.proposer.depose()
				r.handOver.rounds.deposed()
			}
		case <-r.changed:
			r.route(&routed)
		case <-r.stop:
			return
		}
	}
}

// leaderChanged is called by hashicorp/raft, on its own goroutine.
func (r *Raft) leaderChanged(o *hraft.Observation) bool {
	if _, leader := o.Data.(hraft.LeaderObservation); leader {
		poke(r.changed)
	}
	return false // nothing else listens
}

// reign is one peer's lead in one term.
type reign struct {
	leader hraft.ServerID // "": nobody is known to lead
	term   uint64
}

// route passes on that another leads than when it was called last. A change may
// be told twice, the second time when things were handed over to the new leader
// already: they are not lost.
func (r *Raft) route(routed *reign) {
	now := reign{term: r.hraft.CurrentTerm()}
	_, now.leader = r.hraft.LeaderWithID()
	if now != *routed {
		r.tellOf(now)
		*routed = now
		r.handOver.moved()
		r.proposer.route(now.leader != "")
	}
}

// tellOf tells an operator who leads a cluster.
func (r *Raft) tellOf(now reign) {
	switch {
	case !r.peers.company():
	case now.leader == "":
		r.options.Logger.Info().Uint64("term", now.term).Msg("no leader is known")
	default:
		r.options.Logger.Info().Str("leader", peerName(now.leader)).Uint64("term", now.term).Msg("another leader")
	}
}

// declare hands over who is gone, and tells an operator.
func (r *Raft) declare(gone []state.Command) {
	for _, c := range gone {
		r.options.Logger.Info().Str("peer", r.peers.name(c.Peer)).Dur("grace", c.Grace).Msg("a peer is gone")
	}
	r.graces.expire(gone)
}

// tellOfRisen tells an operator of a peer that came up.
func (r *Raft) tellOfRisen(id state.PeerID) {
	r.options.Logger.Info().Str("peer", r.peers.name(id)).Msg("a peer is up")
}

func (r *Raft) leading() bool { return r.hraft.State() == hraft.Leader }

// Term returns Raft's term.
func (r *Raft) Term() uint64 { return r.hraft.CurrentTerm() }

// Leading says whether this peer takes itself for the leader.
func (r *Raft) Leading() bool { return r.leading() }
