package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// What may be changed, by the leader only.
const (
	changeVet      = "vet" // nothing: may this peer be added?
	changeAdd      = "add"
	changePromote  = "promote"
	changeCard     = "card"
	changeRemove   = "remove"
	changeTransfer = "transfer"
)

const (
	changeWithin = 10 * time.Second       // one attempt
	changeEvery  = 100 * time.Millisecond // from one attempt to the next
)

// change is a change of the cluster. All can be asked for again: what is done
// already is done. A peer is named by its Raft id, which never comes again.
type change struct {
	What string `json:"what"`
	ID   string `json:"id"`             // "" for a transfer: to any
	Card string `json:"card,omitempty"` // vet, add, card
}

// changed is the leader's answer; an error is final.
type changed struct {
	Later string `json:"later,omitempty"` // why it may not be done, and should be asked for again
}

// errStranger is told to who asks for a change and is no peer.
var errStranger = errors.New("whoever asks is not a peer of the cluster, as far as this one knows")

// later is an error after which the change should be asked for again.
type later struct{ error }

func (l later) Unwrap() error { return l.error }

// Remove takes a peer out of the cluster, for ever: from the moment at which
// that is applied it is trusted by nobody, and its name is free. It may be
// asked for on any peer, also on the one to be removed. If that one leads, it
// hands leadership on before.
//
// As Promote and Transfer, it returns when it is done, when it is refused, or
// when ctx is; then it may yet be done. The error says what to do.
func (r *Raft) Remove(ctx context.Context, name string) error {
	return r.changeNamed(ctx, changeRemove, name)
}

// Promote gives a peer a vote, and refuses one that has a vote already.
func (r *Raft) Promote(ctx context.Context, name string) error {
	return r.changeNamed(ctx, changePromote, name)
}

// Transfer has another peer lead: the one of that name or, with "", the one
// that knows most of the log.
func (r *Raft) Transfer(ctx context.Context, name string) error {
	if name == "" {
		return r.change(ctx, change{What: changeTransfer})
	}
	return r.changeNamed(ctx, changeTransfer, name)
}

// Yield hands leadership on if this peer leads and another can: before it is
// closed, so that nobody has to miss it first. A leader that is out of touch
// with the majority will be followed by another without its help.
func (r *Raft) Yield(ctx context.Context) error {
	if !r.leading() || r.peers.alone() || r.Status().Suspended {
		return nil
	}
	return r.Transfer(ctx, "")
}

// changeNamed asks for a change of the peer that has a name now.
func (r *Raft) changeNamed(ctx context.Context, what, name string) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	servers, _ := r.peers.configuration()
	var names []string
	for _, s := range servers {
		if peerName(s.ID) == name {
			if what == changePromote && s.Suffrage == hraft.Voter {
				return &refusal{fmt.Sprintf("%s has a vote already", name)}
			}
			return r.change(ctx, change{What: what, ID: string(s.ID)})
		}
		names = append(names, peerName(s.ID))
	}
	return &refusal{fmt.Sprintf("there is no peer %q: the peers are %s", name, strings.Join(names, ", "))}
}

// settle waits until this peer has applied all that was committed before.
func (r *Raft) settle(ctx context.Context) error {
	passed := make(chan error, 1)
	r.Barrier(func(_ uint64, err error) { passed <- err })
	select {
	case err := <-passed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no majority of the peers agreed in time: %w", context.Cause(ctx))
	}
}

// change has the leader change the cluster, whoever that is.
func (r *Raft) change(ctx context.Context, c change) error {
	ctx, cancel := r.within(ctx)
	defer cancel()
	for {
		err := r.changeOnce(ctx, c)
		_, again := errors.AsType[later](err)
		if err != nil && c.What == changeRemove && c.ID == string(r.raftID()) {
			if !again { // by those who trust this peer no more, perhaps: then it hears so soon
				_ = pause(ctx, time.Second)
			}
			if r.directory.now().Removed {
				return nil // the answer was cut off
			}
		}
		if !again {
			return err
		}
		if why := pause(ctx, changeEvery); why != nil {
			return fmt.Errorf("%w (%w)", err, why)
		}
	}
}

// changeOnce asks the leader of this moment.
func (r *Raft) changeOnce(ctx context.Context, c change) error {
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	if r.leading() {
		return r.lead(ctx, c)
	}
	address, _ := r.hraft.LeaderWithID()
	to, err := targetOf(address)
	if address == "" || err != nil || r.network == nil {
		return later{errNoLeader}
	}
	answer, err := ask[changed](ctx, r.network, to, callChange, c)
	if _, final := errors.AsType[*refusal](err); err != nil && !final {
		return later{err}
	}
	if err == nil && answer.Later != "" {
		return later{errors.New(answer.Later)}
	}
	return err
}

// changeHere answers another peer that takes this one for the leader.
func (r *Raft) changeHere(ctx context.Context, c change) (changed, error) {
	ctx, cancel := r.within(ctx)
	defer cancel()
	if !r.live.Load() || !r.leading() {
		return changed{Later: "this peer does not lead"}, nil
	}
	err := r.lead(ctx, c)
	if again, is := errors.AsType[later](err); is {
		return changed{Later: again.Error()}, nil
	}
	return changed{}, err
}

// within bounds a context by the life of this peer.
func (r *Raft) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.lifetime, cancel)
	return ctx, func() { stop(); cancel() }
}

// lead makes a change as the leader, one at a time, knowing all before it.
func (r *Raft) lead(ctx context.Context, c change) error {
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-ctx.Done():
		return later{errors.New("other changes of the cluster are under way")}
	}
	if err := r.settle(ctx); err != nil {
		return later{err}
	}
	servers, index := r.peers.configuration()
	s, in := find(servers, hraft.ServerID(c.ID))
	switch {
	case c.What == changeVet || c.What == changeAdd:
		return r.add(c, servers, index)
	case c.What == changeTransfer && c.ID == "":
		return r.handOn(ctx, servers, "")
	case !in && c.What == changeRemove:
		return nil
	case !in:
		return &refusal{fmt.Sprintf("%s is not a peer of the cluster", c.ID)}
	}
	switch c.What {
	case changeCard:
		return r.replaceVoter(ctx, c, servers, s, index)
	case changePromote:
		return r.promote(s, index)
	case changeRemove:
		return r.remove(ctx, s, servers, index)
	case changeTransfer:
		return r.handOn(ctx, servers, s.ID)
	}
	return &refusal{fmt.Sprintf("this peer knows no change %q: is it older than the one that asks?", c.What)}
}

// commit waits for a change that hashicorp/raft was asked for. What it refuses
// is looked at anew: leadership, or the configuration, may have changed.
func (r *Raft) commit(f hraft.IndexFuture) error {
	if err := f.Error(); err != nil {
		return later{fmt.Errorf("the change did not come about: %w", err)}
	}
	return nil
}

// add adds a peer that votes not yet, or says why it must not be.
func (r *Raft) add(c change, servers []hraft.Server, index uint64) error {
	joins, err := parseCard(hraft.ServerAddress(c.Card))
	name := peerName(hraft.ServerID(c.ID))
	if err != nil || joins.address == "" || checkRaftID(c.ID) != nil {
		return &refusal{"whoever joins needs a card with an address, and the id that it was given with its name"}
	}
	if err := checkCard(joins); err != nil {
		return &refusal{err.Error()}
	}
	for _, s := range servers {
		has, _ := parseCard(s.Address)
		switch {
		case string(s.ID) == c.ID && has.key == joins.key:
			if c.What == changeVet {
				return nil
			}
			return r.replaceCard(c, s, index)
		case peerName(s.ID) == name:
			return &refusal{fmt.Sprintf("the name %q is taken by the peer %s: remove that one first (vera peers remove %s), or start this one with another --name and an empty --data-dir", name, s.ID, name)}
		case has.key == joins.key || has.peer == joins.peer:
			return &refusal{fmt.Sprintf("its data directory is a copy of that of the peer %s: begin with an empty --data-dir", s.ID)}
		}
	}
	if c.What == changeVet {
		return nil
	}
	return r.commit(r.hraft.AddNonvoter(hraft.ServerID(c.ID), hraft.ServerAddress(c.Card), index, changeWithin))
}

// replaceVoter gives a peer another card or, if it has a vote, the leadership,
// so that it does that itself: hashicorp/raft, when told that a follower is
// elsewhere, writes that where the follower's own goroutine reads without its
// lock. (Of an observer the two happen to be of no consequence: all that is
// read is its Raft id, which stays.)
func (r *Raft) replaceVoter(ctx context.Context, c change, servers []hraft.Server, s hraft.Server, index uint64) error {
	if s.Suffrage != hraft.Voter || s.ID == r.raftID() || string(s.Address) == c.Card {
		return r.replaceCard(c, s, index)
	}
	if own, any := r.wish(); any && own.What == changeCard { // or all would pass leadership round for ever
		self, _ := find(servers, r.raftID())
		if err := r.replaceCard(own, self, index); err != nil {
			return err
		}
	}
	if err := r.handOn(ctx, servers, s.ID); err != nil {
		return err
	}
	return later{fmt.Errorf("%s leads now, and can note itself where it is", peerName(s.ID))}
}

// replaceCard gives a peer another card, and leaves it its vote.
func (r *Raft) replaceCard(c change, s hraft.Server, index uint64) error {
	was, bare := parseCard(s.Address)
	is, err := parseCard(hraft.ServerAddress(c.Card))
	switch {
	case err != nil || bare == nil && (is.key != was.key || is.peer != was.peer):
		return &refusal{"a peer's new card must be of its key and id"}
	case string(s.Address) == c.Card:
		return nil
	}
	if err := checkCard(is); err != nil {
		return &refusal{err.Error()}
	}
	return r.commit(r.hraft.AddNonvoter(s.ID, hraft.ServerAddress(c.Card), index, changeWithin))
}

// promote gives a peer a vote once it has come up: then it had applied the log
// up to there, and its directory will never be taken for a new one.
func (r *Raft) promote(s hraft.Server, index uint64) error {
	if s.Suffrage == hraft.Voter {
		return nil
	}
	c, err := parseCard(s.Address)
	up := slices.ContainsFunc(r.machine.Peers(), func(p state.Peer) bool { return p.Peer == c.peer && !p.Gone })
	if err != nil || !up {
		return &refusal{fmt.Sprintf("%s has not caught up with the log, or does not run: start it, or wait", peerName(s.ID))}
	}
	return r.commit(r.hraft.AddVoter(s.ID, s.Address, index, changeWithin))
}
