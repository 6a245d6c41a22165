package raft

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A peer joins in two steps. First it asks whether it may, and learns which
// cluster that is, its secrets and its peers; it keeps that, and starts its
// Raft with an empty log. Then it asks to be added: it gets the log, without a
// vote. When it sees itself in the log it is formed, durably, and never begins
// with an empty log again. Once it is up it asks for a vote, unless it is an
// observer. A crash in between leaves something that asks again.

const (
	joinWithin = 5 * time.Second        // one question; the leader may have to be found
	joinEvery  = 300 * time.Millisecond // from one round of questions to the next
	joinDenied = 3                      // rounds in which all deny, until it is believed
	tellEvery  = 10 * time.Second       // what is waited for is logged
)

// joining is a peer's wish to join.
type joining struct {
	ID       string `json:"id"`
	Card     string `json:"card"`
	Observer bool   `json:"observer"`
	Ready    bool   `json:"ready"` // its Raft runs: it is to be added now
}

// welcome is the answer. It is only given to who proved the secret, by who
// proved it, since it holds the key of the cluster's cookies.
type welcome struct {
	Later  string `json:"later,omitempty"` // why it can't be said now; the rest is empty
	Cookie string `json:"cookie,omitempty"`
	Hello  hello  `json:"hello"`
}

// welcome answers who wants to join.
func (r *Raft) welcome(ctx context.Context, from caller, j joining) (welcome, error) {
	if !r.directory.now().Formed || !r.live.Load() {
		return welcome{Later: "it is in no cluster yet", Hello: r.hello()}, nil
	}
	c, err := parseCard(hraft.ServerAddress(j.Card))
	if err != nil || c.key != from.key {
		return welcome{}, errors.New("a peer joins with its own card only")
	}
	wish := change{What: changeVet, ID: j.ID, Card: j.Card}
	if j.Ready {
		wish.What = changeAdd
	}
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	if err := r.change(ctx, wish); err != nil {
		if _, final := errors.AsType[*refusal](err); final {
			return welcome{}, err
		}
		return welcome{Later: err.Error(), Hello: r.hello()}, nil
	}
	if j.Ready {
		if err := r.awaitPeer(ctx, hraft.ServerID(j.ID)); err != nil {
			return welcome{Later: err.Error(), Hello: r.hello()}, nil
		}
	}
	h := r.hello()
	for _, s := range h.Servers {
		if c, err := s.card(); err != nil || c.address == "" {
			return welcome{Later: "the cluster does not know the address of " + s.ID + " yet", Hello: h}, nil
		}
	}
	return welcome{Cookie: hex.EncodeToString(r.directory.cookie), Hello: h}, nil
}

// awaitPeer waits until this peer knows a configuration that has another one.
func (r *Raft) awaitPeer(ctx context.Context, id hraft.ServerID) error {
	for {
		servers, _ := r.peers.configuration()
		if _, in := find(servers, id); in {
			return nil
		}
		if err := pause(ctx, handOnEvery); err != nil {
			return fmt.Errorf("%s was added, and the log here does not have it yet: %w", id, err)
		}
	}
}

// join has this peer, which is new, become one of a cluster that others are in:
// any, or the one given.
func (r *Raft) join(ctx context.Context, of ClusterID) error {
	w, err := r.askToJoin(ctx, of, false)
	if err != nil {
		return err
	}
	cookie, err := hex.DecodeString(w.Cookie)
	if err != nil || len(cookie) != cookieBytes {
		return errors.New("the cluster's answer to the join can't be read")
	}
	r.directory.cookie = cookie
	if err := r.directory.writeCookie(); err != nil {
		return err
	}
	r.book.tell(w.Hello.Index, w.Hello.Servers) // its peers are trusted from now on
	return r.directory.become(func(s *standing) error {
		if s.Promise != nil && s.Promise.Cluster != w.Hello.Cluster {
			return errPromised // meanwhile
		}
		s.Cluster, s.Joining = w.Hello.Cluster, true
		return nil
	})
}

// enterCluster has the peer added, waits until its log says so, and notes it.
// Meanwhile it asks the others whether it was removed: then there is no log to
// come.
func (r *Raft) enterCluster(ctx context.Context) error {
	w, err := r.askToJoin(ctx, r.directory.now().Cluster, true)
	if err != nil {
		return err
	}
	if w.Hello.has(r.directory.RaftID) {
		r.added.Store(w.Hello.Index)
	}
	looked := time.Now()
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	for {
		if servers, index := r.peers.configuration(); index > 0 {
			if _, in := find(servers, r.raftID()); in {
				r.book.forget() // the log, and its peers, know better
				return r.directory.form(index)
			}
		}
		select {
		case <-r.membership:
		case <-tick.C:
			if time.Since(looked) >= lookEvery {
				r.greetAll(ctx, r.known())
				looked = time.Now()
			}
		case <-r.dismissed:
			return r.removed()
		case <-ctx.Done():
			return fmt.Errorf("this peer was added to the cluster, but did not get its log: %w", context.Cause(ctx))
		}
	}
}

// askToJoin asks one peer after the other until one says yes, or no.
func (r *Raft) askToJoin(ctx context.Context, of ClusterID, ready bool) (w welcome, err error) {
	own := r.peers.own()
	question := joining{r.directory.RaftID, own.String(), r.options.Observer, ready}
	reasons := newReasons(r.options.Logger, "waiting to join the cluster")
	for rounds := 0; ; {
		asked, refused := 0, 0
		for _, to := range r.toJoin() {
			w, err := r.askOne(ctx, to, of, question)
			if err == nil && w.Later == "" {
				return w, nil
			}
			if w.Hello.ID == question.ID {
				continue // the own address
			}
			asked++
			if final, is := errors.AsType[*refusal](err); is {
				return w, fmt.Errorf("%s refuses this peer: %w", to.address, final)
			}
			if _, is := errors.AsType[*denied](err); is {
				refused++
			}
			reasons.add(to.address, err, w.Later)
		}
		if rounds++; refused == 0 || refused < asked {
			rounds = 0
		}
		if rounds >= joinDenied {
			return w, fmt.Errorf("the peers to join refuse this one: is the cluster's secret the same here and there? %s", reasons)
		}
		reasons.tell()
		if err := pause(ctx, joinEvery); err != nil {
			return w, fmt.Errorf("did not join (%s): %w", reasons, err)
		}
	}
}

func (r *Raft) askOne(ctx context.Context, to target, of ClusterID, j joining) (welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWithin+time.Second)
	defer cancel()
	w, err := ask[welcome](ctx, r.network, to, callJoin, j)
	if err == nil && w.Later == "" && of != "" && w.Hello.Cluster != of {
		return w, fmt.Errorf("it is of cluster %s, but this peer is promised to %s: begin with an empty --data-dir to join the other", w.Hello.Cluster, of)
	}
	return w, err
}

// toJoin returns who can be asked: the addresses given, and who was promised.
func (r *Raft) toJoin() (all []target) {
	for _, address := range r.options.Join {
		all = append(all, target{address: address})
	}
	if p := r.directory.now().Promise; p != nil && p.Address != "" {
		all = append(all, target{address: p.Address})
	}
	return all
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
