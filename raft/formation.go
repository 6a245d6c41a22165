package raft

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// New peers that expect each other form a cluster so: each greets all that it
// knows of, again and again. Who sees as many as are expected, and has the
// lowest id among them, founds: it promises itself to its own founding,
// durably, and then asks the others to promise themselves to it, durably. With
// as many promises as are expected it forms a cluster of one, which the others
// join. A peer promises itself only once: so two foundings that need one peer
// can't both succeed.
//
// Founders that see each other and each have some of the promises would wait
// for ever. So a founder gives its founding up, durably, when it sees a lower
// founder or a cluster that was formed. Whoever is promised to it learns that
// from its own mouth and is free. Each founding has a number drawn at random,
// so a promise is never taken for one to a later founding, nor the end of an
// earlier founding for that of a later one.

const greetEvery = 200 * time.Millisecond

// promise is a peer's word that it will be of one cluster and no other.
type promise struct {
	Cluster ClusterID `json:"cluster"`
	Number  string    `json:"number"` // of the founding
	ID      string    `json:"id"`     // Raft id of the founder
	Key     string    `json:"key"`
	Address string    `json:"address"`
}

// promised is the answer to who asks for a promise.
type promised struct {
	Given bool   `json:"given"`
	Why   string `json:"why,omitempty"` // not
}

var errPromised = errors.New("this peer is promised to another founder")

// promise gives this peer's word, if it is free to.
func (r *Raft) promise(from caller, p promise) (promised, error) {
	if p.Key != from.key || p.Cluster == "" || p.ID == "" {
		return promised{}, errors.New("a founder asks for itself only")
	}
	why := ""
	err := r.directory.become(func(s *standing) error {
		switch {
		case s.Formed || s.Joining:
			why = "it is of cluster " + string(s.Cluster)
		case r.options.Expect < 2:
			why = "it expects nobody: start it with --expect"
		case s.Promise != nil && *s.Promise != p:
			why = "it is promised to " + s.Promise.ID
		default:
			s.Promise = &p
			return nil
		}
		return errPromised
	})
	if why != "" {
		return promised{Why: why}, nil
	}
	return promised{Given: err == nil}, err
}

// What a peer that is being formed does next.
type step int

const (
	stepWait    step = iota
	stepRelease      // take the own promise back: nobody can succeed with it
	stepFound        // promise oneself to the own founding
	stepCollect      // ask the others for their promises
	stepJoin         // a cluster was formed
)

// founding says whether a peer is a founder.
func (h *hello) founding() bool {
	return !h.Formed && !h.Joining && h.Promise != nil && h.Promise.ID == h.ID
}

// decide says what to do next, and of which cluster the peer may be, or why it
// waits. What the others say must have been said after own was.
func decide(own hello, others []hello) (step, ClusterID, string) {
	formed := ClusterID("")
	for _, h := range others {
		if h.Formed && (own.Promise == nil || own.founding() || h.Cluster == own.Promise.Cluster) {
			if formed != "" && formed != h.Cluster {
				return stepWait, "", fmt.Sprintf("the peers to join are of two clusters, %s and %s", formed, h.Cluster)
			}
			formed = h.Cluster
		}
	}
	switch {
	case own.founding():
		return decideFounder(own, others, formed)
	case formed != "":
		return stepJoin, formed, ""
	case own.Promise != nil:
		return decidePromised(own, others)
	}
	alike := 1
	for _, h := range others {
		if h.founding() {
			return stepWait, "", h.ID + " founds a cluster"
		}
		if !h.Joining && h.Expect == own.Expect {
			alike++
		}
	}
	if alike < own.Expect {
		return stepWait, "", fmt.Sprintf("found %d of %d new peers", alike, own.Expect)
	}
	for _, h := range others {
		if h.ID < own.ID && h.Expect == own.Expect {
			return stepWait, "", h.ID + " is to found the cluster"
		}
	}
	return stepFound, "", ""
}

func decideFounder(own hello, others []hello, formed ClusterID) (step, ClusterID, string) {
	lower := slices.ContainsFunc(others, func(h hello) bool { return h.founding() && h.ID < own.ID })
	if formed != "" || lower {
		return stepRelease, "", ""
	}
	return stepCollect, own.Cluster, ""
}

func decidePromised(own hello, others []hello) (step, ClusterID, string) {
	for _, h := range others {
		if h.ID != own.Promise.ID {
			continue
		}
		if h.founding() && *h.Promise == *own.Promise {
			return stepWait, "", h.ID + " founds the cluster"
		}
		return stepRelease, "", "" // it says itself that it does not any more
	}
	return stepWait, "", fmt.Sprintf("promised to %s at %s, who does not answer: start it; or, if it is gone for ever, begin with an empty --data-dir", own.Promise.ID, own.Promise.Address)
}

// formation returns when this peer founded a cluster, which it must form now,
// or has to join one.
func (r *Raft) formation(ctx context.Context) (found bool, join ClusterID, err error) {
	reasons := newReasons(r.options.Logger, "waiting for the expected peers")
	for {
		own := r.hello()
		others, failed := r.greetAll(ctx, r.toGreet())
		clear(reasons.all)
		for to, err := range failed {
			reasons.add(to.address, err, "")
		}
		r.guests.follow(others)
		next, cluster, why := decide(own, others)
		switch next {
		case stepJoin:
			return false, cluster, nil
		case stepFound:
			err = r.swear(own, r.newPromise())
		case stepRelease:
			err = r.swear(own, nil)
		case stepCollect:
			if found = r.collect(ctx, own, others, reasons); found {
				return true, cluster, nil
			}
		case stepWait:
			reasons.add("this peer", nil, why)
		}
		if err != nil && !errors.Is(err, errPromised) {
			return false, "", err
		}
		reasons.tell()
		if err := pause(ctx, greetEvery); err != nil {
			return false, "", fmt.Errorf("no cluster was formed (%s): %w", reasons, err)
		}
	}
}

func (r *Raft) newPromise() *promise {
	return &promise{
		Cluster: r.directory.now().Cluster, Number: hex.EncodeToString(random(8)),
		ID: r.directory.RaftID, Key: r.directory.Key, Address: r.peers.own().address,
	}
}

// swear changes the own promise if it is still what own says.
func (r *Raft) swear(own hello, to *promise) error {
	return r.directory.become(func(s *standing) error {
		if (s.Promise == nil) != (own.Promise == nil) || s.Promise != nil && *s.Promise != *own.Promise {
			return errPromised
		}
		s.Founder = s.Founder || to != nil
		s.Promise = to
		return nil
	})
}

// collect asks all others at once for their promise, and says whether there
// are enough.
func (r *Raft) collect(ctx context.Context, own hello, others []hello, reasons *reasons) bool {
	ctx, cancel := context.WithTimeout(ctx, helloWithin)
	defer cancel()
	var wait sync.WaitGroup
	var mu sync.Mutex
	given := 1
	for _, h := range others {
		c, err := parseCard(hraft.ServerAddress(h.Card))
		if err != nil || h.Formed || h.Joining {
			continue
		}
		wait.Go(func() {
			answer, err := ask[promised](ctx, r.network, c.target(), callPromise, own.Promise)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && answer.Given {
				given++
			} else {
				reasons.add(h.ID, err, answer.Why)
			}
		})
	}
	wait.Wait()
	return given >= own.Expect
}

// guests are new peers that this one heard of: they greeted it or answered, or
// others know of them. So peers that are each told to join another one find
// all.
type guests struct {
	mu    sync.Mutex
	known map[string]string // address by Raft id, at most maxGuests
}

// guest is a new peer.
type guest struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

const maxGuests = 64

func (g *guests) note(c card, h hello) {
	if !h.Formed && c.address != "" {
		g.add(guest{h.ID, c.address})
	}
}

// follow takes whom others know of, and who they are promised to.
func (g *guests) follow(others []hello) {
	for _, h := range others {
		if h.Promise != nil {
			g.add(guest{h.Promise.ID, h.Promise.Address})
		}
		if c, err := parseCard(hraft.ServerAddress(h.Card)); err == nil {
			g.note(c, h)
		}
		for _, one := range h.Guests {
			g.add(one)
		}
	}
}

func (g *guests) add(one guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.known[one.ID]; known || len(g.known) < maxGuests {
		g.known[one.ID] = one.Address
	}
}

func (g *guests) list() (all []guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, address := range g.known {
		all = append(all, guest{id, address})
	}
	return all
}

// toGreet returns everybody who may be new, too.
func (r *Raft) toGreet() []target {
	all := r.toJoin()
	for _, one := range r.guests.list() {
		if to := (target{address: one.Address}); !slices.Contains(all, to) {
			all = append(all, to)
		}
	}
	return all
}
