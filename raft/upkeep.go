package raft

import (
	"context"
	"errors"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	upkeepEvery  = 250 * time.Millisecond
	lonelyAfter  = 2 * time.Second // without a leader, until others are asked where everybody is
	lookEvery    = 2 * time.Second
	remindEvery  = 2 * time.Second // the leader is asked again to note the same of this peer
	remindWithin = 5 * time.Second
)

// upkeep keeps this peer's place in its cluster: it has the log say what the
// peer's card is and that it votes, and looks for the others when it hears no
// leader. As the leader it greets them all: who was away while everybody else
// was replaced learns of a leader only so.
func (r *Raft) upkeep() {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	var heard, looked, reminded time.Time
	var asked change
	alone := time.Now() // since when no leader is heard
	missed := newReasons(r.options.Logger, "no leader is heard: looking for the other peers")
	for {
		select {
		case <-tick.C:
		case <-r.stop:
			return
		}
		now := time.Now()
		_, leader := r.hraft.LeaderWithID()
		if leader != "" {
			heard, alone = now, now
		}
		if now.Sub(alone) < lonelyAfter {
			r.deserted.Store(false)
		}
		r.quell(false)
		if (leader == r.raftID() || now.Sub(heard) >= lonelyAfter) && now.Sub(looked) >= lookEvery {
			looked = now
			r.lookAround(leader == "", missed)
		}
		if wish, any := r.wish(); any && leader != "" && (wish != asked || now.Sub(reminded) >= remindEvery) {
			asked, reminded = wish, now
			r.remind(wish)
		}
	}
}

// followMembership cuts off who was removed, at once.
func (r *Raft) followMembership() {
	for {
		select {
		case <-r.membership:
			r.noteMembership()
		case <-r.stop:
			return
		}
	}
}

// noteMembership acts on a configuration that was applied.
func (r *Raft) noteMembership() {
	r.network.cut()
	r.book.keep(r.trusted)
	servers, index := r.peers.configuration()
	if _, in := find(servers, r.raftID()); !in && index > r.directory.now().Since {
		r.leave()
	}
}

// lookAround greets everybody, which tells them where this peer is, and this
// peer where they are and who else is there.
func (r *Raft) lookAround(lonely bool, missed *reasons) {
	all := r.known()
	hellos, failed := r.greetAll(r.lifetime, all)
	if !lonely || r.lifetime.Err() != nil {
		return
	}
	r.desert(all, failed, hellos)
	clear(missed.all)
	for _, h := range hellos {
		missed.add(peerName(hraft.ServerID(h.ID)), nil, "answers")
	}
	refused := 0
	for to, err := range failed {
		missed.add(to.address, err, "")
		if _, is := errors.AsType[*denied](err); is {
			refused++
		}
	}
	missed.tell()
	if refused > 0 && refused == len(failed) && len(hellos) == 0 {
		r.options.Logger.Error().Msg("all other peers refuse this one: it was removed from the cluster, or all of them were replaced while it was away; start it with the cluster's secret and --join to be told which")
	}
}

// wish is what this peer wants the log to say of it, if it says otherwise.
func (r *Raft) wish() (change, bool) {
	servers, _ := r.peers.configuration()
	s, in := find(servers, r.raftID())
	own := r.peers.own().String()
	switch {
	case !in:
	case string(s.Address) != own:
		return change{What: changeCard, ID: string(s.ID), Card: own}, true
	case s.Suffrage != hraft.Voter && !r.options.Observer:
		return change{What: changePromote, ID: string(s.ID)}, true
	}
	return change{}, false
}

// remind has the leader make the log say so.
func (r *Raft) remind(wish change) {
	ctx, cancel := context.WithTimeout(r.lifetime, remindWithin)
	defer cancel()
	if err := r.change(ctx, wish); err != nil && r.lifetime.Err() == nil {
		r.options.Logger.Warn().Err(err).Msg("the cluster does not know yet what this peer is")
	}
}
