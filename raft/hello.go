package raft

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// What peers ask each other by network.call, as JSON.
const (
	callHello   = "hello"   // who are you, and who else is there? Of anybody who may speak at all
	callPromise = "promise" // will you be of my cluster and no other? Of who proved the secret
	callJoin    = "join"    // may I be of yours? Of who proved the secret
	callChange  = "change"  // change the cluster, you lead. Of its peers
)

// helloWithin bounds a greeting: it needs nothing but an answer.
const helloWithin = time.Second

// hello is what a peer says of itself and of its cluster, asking and answering.
type hello struct {
	ID      string    `json:"id"`
	Card    string    `json:"card"`
	Cluster ClusterID `json:"cluster"` // until it is formed: which one it would form
	Formed  bool      `json:"formed"`
	Joining bool      `json:"joining,omitempty"`
	Expect  int       `json:"expect,omitempty"` // how many peers shall form a cluster
	Promise *promise  `json:"promise,omitempty"`
	Guests  []guest   `json:"guests,omitempty"` // other new peers that it knows of
	Leader  string    `json:"leader,omitempty"` // its Raft id, when one is known
	Last    uint64    `json:"last"`             // index of the log's last entry
	Index   uint64    `json:"index"`            // of the configuration
	Servers []server  `json:"servers,omitempty"`
}

// server is a peer in a configuration.
type server struct {
	ID    string `json:"id"`
	Card  string `json:"card"`
	Voter bool   `json:"voter"`
}

func (s server) card() (card, error) { return parseCard(hraft.ServerAddress(s.Card)) }

func (h *hello) has(id string) bool {
	return slices.ContainsFunc(h.Servers, func(s server) bool { return s.ID == id })
}

// hello is what this peer says now.
func (r *Raft) hello() hello {
	s := r.directory.now()
	h := hello{
		ID: r.directory.RaftID, Card: r.peers.own().String(),
		Cluster: s.Cluster, Formed: s.Formed, Joining: s.Joining, Expect: r.options.Expect, Promise: s.Promise,
	}
	if !s.Formed {
		h.Guests = r.guests.list()
	}
	servers, index := r.peers.configuration()
	h.Index = index
	for _, one := range servers {
		h.Servers = append(h.Servers, server{string(one.ID), string(one.Address), one.Suffrage == hraft.Voter})
	}
	if r.live.Load() {
		_, leader := r.hraft.LeaderWithID()
		h.Leader, h.Last = string(leader), r.hraft.LastIndex()
	}
	return h
}

// greeted answers a greeting, and learns from it.
func (r *Raft) greeted(from caller, h hello) (hello, error) {
	if c, err := parseCard(hraft.ServerAddress(h.Card)); err == nil && c.key == from.key {
		r.learn(c, h, r.vouched(from.key))
		r.guests.note(c, h)
	}
	return r.hello(), nil
}

// greet greets a peer, learns from its answer and returns that.
func (r *Raft) greet(ctx context.Context, to target) (hello, error) {
	ctx, cancel := context.WithTimeout(ctx, helloWithin)
	defer cancel()
	h, err := ask[hello](ctx, r.network, to, callHello, r.hello())
	if err != nil {
		return h, err
	}
	c, err := parseCard(hraft.ServerAddress(h.Card))
	if err != nil || to.key != "" && c.key != to.key {
		return h, fmt.Errorf("the peer at %s shows no card, or another's", to.address)
	}
	r.learn(c, h, to.key != "" && r.vouched(to.key))
	return h, nil
}

// greetAll greets peers at once and returns those that answered, and why the
// others did not.
func (r *Raft) greetAll(ctx context.Context, all []target) (hellos []hello, failed map[target]error) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	failed = map[target]error{}
	for _, to := range all {
		wait.Go(func() {
			h, err := r.greet(ctx, to)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[to] = err
			} else if h.ID != r.directory.RaftID {
				hellos = append(hellos, h)
			}
		})
	}
	wait.Wait()
	slices.SortFunc(hellos, func(a, b hello) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(hellos, func(a, b hello) bool { return a.ID == b.ID }), failed
}

// learn takes from a peer of the own cluster where it is and who is in the
// cluster, also that this peer is not any more. Of who only knows the secret, as
// a removed peer does, it takes a rumour.
func (r *Raft) learn(c card, h hello, vouched bool) {
	if added := r.added.Load(); added > 0 && vouched && h.Index > added && r.leftOut(h) {
		poke(r.dismissed)
		return
	}
	switch _, index := r.peers.configuration(); {
	case !r.sameCluster(h):
		return
	case !vouched:
		r.rumour(c, h)
		return
	case h.Index > r.directory.now().Since && !h.has(r.directory.RaftID):
		r.leave()
		return
	case h.Index > index:
		r.book.tell(h.Index, h.Servers)
	}
	if c.address != "" {
		r.book.place(c)
	}
	if h.Leader != "" {
		r.quell(true)
	}
}

// leftOut says whether this peer is joining a cluster, and somebody tells of that
// cluster without it.
func (r *Raft) leftOut(h hello) bool {
	s := r.directory.now()
	return !s.Formed && h.Formed && h.Cluster == s.Cluster && !h.has(r.directory.RaftID)
}

// known returns everybody whom this peer can greet: those of the configuration
// and of the book, and who answers at the addresses to join.
func (r *Raft) known() (all []target) {
	servers, index := r.peers.configuration()
	for _, s := range servers {
		if c, err := parseCard(s.Address); err == nil && s.ID != r.raftID() && c.address != "" {
			all = append(all, c.target())
		}
	}
	all = append(all, r.book.targets(index)...)
	if len(r.options.Secret) > 0 {
		for _, address := range r.options.Join {
			all = append(all, target{address: address})
		}
	}
	return all
}

// ask asks a peer and reads its answer.
func ask[A any](ctx context.Context, n network, to target, what string, question any) (answer A, err error) {
	body, err := json.Marshal(question)
	if err != nil {
		return answer, err
	}
	raw, err := n.call(ctx, to, what, body)
	if err == nil {
		err = json.Unmarshal(raw, &answer)
	}
	return answer, err
}

// reply answers a question.
func reply[Q, A any](body []byte, answer func(Q) (A, error)) ([]byte, error) {
	var q Q
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("a question that can't be read: %w", err)
	}
	a, err := answer(q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}
