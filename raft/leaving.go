package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"
)

const (
	farewells     = 5               // greetings to a removed peer, which tell it
	farewellEvery = time.Second     //
	handOnWithin  = 2 * time.Second // until another leads
	handOnEvery   = 10 * time.Millisecond
	handOnRounds  = 20 // in which a peer may catch up before it is asked to lead
)

// remove removes a peer, unless those that are left could not agree on
// anything. Its own leadership the leader gives away before.
func (r *Raft) remove(ctx context.Context, s hraft.Server, servers []hraft.Server, index uint64) error {
	left := slices.DeleteFunc(slices.Clone(servers), func(one hraft.Server) bool { return one.ID == s.ID })
	voters, silent := r.silent(ctx, left)
	name := peerName(s.ID)
	switch {
	case s.Suffrage != hraft.Voter:
	case voters == 0:
		return &refusal{fmt.Sprintf("%s is the only peer with a vote: promote another one first, or stop it for good", name)}
	case 2*(voters-len(silent)) <= voters:
		return &refusal{fmt.Sprintf("without %s there would be %d votes, and %s can't be reached: no majority is left; bring them back, or remove them first", name, voters, strings.Join(silent, ", "))}
	}
	if s.ID == r.raftID() {
		if err := r.handOn(ctx, left, ""); err != nil {
			return err
		}
		return later{errors.New("leadership was handed on; the new leader removes this peer")}
	}
	if err := r.commit(r.hraft.RemoveServer(s.ID, index, changeWithin)); err != nil {
		return err
	}
	if c, err := parseCard(s.Address); err == nil && c.address != "" && r.network != nil {
		r.run(func() { r.farewell(c) })
	}
	return nil
}

// silent returns how many votes there are and the names of the peers with one
// that do not answer.
func (r *Raft) silent(ctx context.Context, servers []hraft.Server) (voters int, names []string) {
	var all []target
	for _, s := range servers {
		if s.Suffrage == hraft.Voter {
			voters++
			if to, err := targetOf(s.Address); err == nil && s.ID != r.raftID() {
				all = append(all, to)
			}
		}
	}
	_, failed := r.greetAll(ctx, all)
	for _, s := range servers {
		if to, err := targetOf(s.Address); err == nil && failed[to] != nil && s.Suffrage == hraft.Voter {
			names = append(names, peerName(s.ID))
		}
	}
	return voters, names
}

// farewell tells a removed peer so: it still trusts this one, and sees in the
// greeting that it is not in the cluster any more.
func (r *Raft) farewell(c card) {
	for range farewells {
		if _, err := r.greet(r.lifetime, c.target()); err == nil {
			return
		}
		if pause(r.lifetime, farewellEvery) != nil {
			return
		}
	}
}

// leave ends this peer, which learnt that it was removed.
func (r *Raft) leave() {
	r.leaving.Do(func() { r.run(func() { r.options.Fatal(r.removed()) }) })
}

// removed notes for ever that this peer was removed, and says so.
func (r *Raft) removed() error {
	why := fmt.Errorf("this peer, %s, was removed from the cluster %s: it can't come back with its data; to join again, begin with an empty --data-dir", r.directory.RaftID, r.directory.now().Cluster)
	return errors.Join(why, r.directory.become(func(s *standing) error {
		s.Removed = true
		return nil
	}))
}

// handOn has another peer lead: the one with that id or, with "", whichever
// has most of the log. hashicorp/raft's own transfer is not used, since it may
// leave this peer refusing everything: here nothing is refused, and when the
// other fails to be elected this one or any is, in the usual way.
func (r *Raft) handOn(ctx context.Context, servers []hraft.Server, id hraft.ServerID) error {
	if id == r.raftID() {
		return nil
	}
	var may []hraft.Server
	for _, s := range servers {
		if s.Suffrage == hraft.Voter && s.ID != r.raftID() && (id == "" || s.ID == id) {
			may = append(may, s)
		}
	}
	if len(may) == 0 && id != "" {
		return &refusal{fmt.Sprintf("%s has no vote, so it can't lead: promote it first", peerName(id))}
	}
	if len(may) == 0 {
		return &refusal{"there is no other peer with a vote that could lead"}
	}
	to, err := r.readiest(ctx, may)
	if err != nil {
		return err
	}
	header := hraft.RPCHeader{
		ProtocolVersion: hraft.ProtocolVersionMax, ID: []byte(r.raftID()),
		Addr: r.transport.EncodePeer(r.raftID(), r.transport.LocalAddr()),
	}
	if err := r.transport.TimeoutNow(to.ID, to.Address, &hraft.TimeoutNowRequest{RPCHeader: header}, &hraft.TimeoutNowResponse{}); err != nil {
		return later{fmt.Errorf("%s could not be asked to lead: %w", peerName(to.ID), err)}
	}
	return r.awaitLeader(ctx, to.ID)
}

// readiest returns the peer with most of the log, once it has nearly all.
func (r *Raft) readiest(ctx context.Context, may []hraft.Server) (best hraft.Server, err error) {
	for range handOnRounds {
		var all []target
		for _, s := range may {
			if to, err := targetOf(s.Address); err == nil {
				all = append(all, to)
			}
		}
		last, most := r.hraft.LastIndex(), uint64(0)
		hellos, failed := r.greetAll(ctx, all)
		for _, h := range hellos {
			if s, in := find(may, hraft.ServerID(h.ID)); in && h.Last >= most {
				best, most = s, h.Last
			}
		}
		if best.ID != "" && most >= last {
			return best, nil
		}
		if best.ID == "" {
			err = later{fmt.Errorf("no other peer answers: %v", failed)}
		} else {
			err = later{fmt.Errorf("%s has not caught up with the log", peerName(best.ID))}
		}
		if pause(ctx, handOnEvery) != nil {
			break
		}
	}
	return best, err
}

// awaitLeader waits until a peer leads.
func (r *Raft) awaitLeader(ctx context.Context, id hraft.ServerID) error {
	for began := time.Now(); time.Since(began) < handOnWithin; {
		if _, leader := r.hraft.LeaderWithID(); leader == id {
			return nil
		}
		if err := pause(ctx, handOnEvery); err != nil {
			return later{err}
		}
	}
	return later{fmt.Errorf("%s was asked to lead and was not elected", peerName(id))}
}
