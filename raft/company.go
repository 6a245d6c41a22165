package raft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// connect returns how hashicorp/raft speaks with other peers, who are heard
// once live is set.
func (r *Raft) connect() hraft.Transport {
	self := hraft.ServerAddress(r.peers.own().String())
	apply := func(entry []byte) { r.hraft.Apply(entry, 0) }
	r.handOver = &handOver{leading: r.leading, apply: apply, rounds: newRounds(r.leading, apply)}
	if r.network == nil {
		_, alone := hraft.NewInmemTransport(self)
		return alone
	}
	r.transport = newTransport(self, r.network, r.guard.Busy)
	r.transport.durable = r.ahead.durable
	r.handOver.network = r.network
	r.handOver.leader = func() hraft.ServerAddress {
		address, _ := r.hraft.LeaderWithID()
		return address
	}
	r.handOver.lost = func() { r.proposer.rest() }
	r.transport.nudges.commit = r.commitIndex
	r.transport.nudges.follows = r.configured
	r.transport.nudges.leads = func(term uint64) bool { return r.hraft.State() == hraft.Leader && r.hraft.CurrentTerm() == term }
	if r.options.wrap != nil {
		return r.options.wrap(r.transport)
	}
	return r.transport
}

// leadsOthers says whether this peer leads, and does not vote alone.
func (r *Raft) leadsOthers() bool { return r.live.Load() && r.leading() && !r.peers.alone() }

// commitIndex is what may be told to be committed, as of now.
func (r *Raft) commitIndex() uint64 { return min(r.hraft.CommitIndex(), r.ahead.durable()) }

// configured says whether an address is in the latest configuration.
func (r *Raft) configured(a hraft.ServerAddress) bool {
	servers := r.hraft.GetConfiguration().Configuration().Servers
	return slices.ContainsFunc(servers, func(s hraft.Server) bool { return s.Address == a })
}

// committed has the followers told of what is committed, if there are any, and
// the next round begin.
func (r *Raft) committed(logs []*hraft.Log) {
	if r.transport != nil {
		r.transport.nudges.committed()
		r.handOver.rounds.committed(logs)
	}
}

// enter gives entries to whoever leads.
func (r *Raft) enter(entries [][]byte) error { return r.handOver.enter(entries) }

// targetOf is where the peer with an address in the configuration is spoken
// with.
func targetOf(a hraft.ServerAddress) (target, error) {
	c, err := parseCard(a)
	if err != nil {
		return target{}, err
	}
	if c.address == "" {
		return target{}, errors.New("the peer has no address")
	}
	return c.target(), nil
}

// ownCard is what this peer tells of itself.
func (r *Raft) ownCard() (card, error) {
	o, d := &r.options, r.directory
	c := card{client: o.ClientURL, key: d.Key, peer: d.id}
	if !o.company() {
		return c, nil
	}
	switch {
	case o.PeerURL != "":
		c.address = strings.TrimPrefix(o.PeerURL, cardScheme)
	case o.PeerListener != nil:
		c.address = o.PeerListener.Addr().String()
	default:
		c.address = o.Name + ":1" // as Memory has it
	}
	return c, checkAddress(c.address)
}

// speak has this peer speak with others from now on.
func (r *Raft) speak() error {
	o, d := &r.options, r.directory
	own, err := r.ownCard()
	if err != nil {
		return err
	}
	r.peers = newPeers(r.raftID(), own)
	r.peers.gone = func(id state.PeerID) bool { return r.machine.Peer(id).Gone }
	r.peers.changed = func() { poke(r.membership) }
	if !o.company() {
		return nil
	}
	var n network
	if o.Memory != nil {
		n = o.Memory.network(o.Name, d.Key, o.Secret)
	} else if n, err = newHTTPS(httpsOptions{
		Key: d.key, Cluster: func() string { return string(d.cluster()) }, Secret: o.Secret,
		Listener: o.PeerListener, Logger: o.Logger, Metrics: o.Metrics, Fatal: o.Fatal,
	}); err != nil {
		return err
	}
	r.network = guided{n, r.book}
	r.network.serve(handlers{trusted: r.trusted, call: r.called, stream: r.streamed})
	return nil
}

// trusted says whether a key is that of a peer of the cluster, as far as is
// known or, when there is nothing else, rumoured.
func (r *Raft) trusted(key string) bool {
	_, index := r.peers.configuration()
	return r.vouched(key) || r.book.rumoured(key, index)
}

// vouched says whether a key is that of a peer of the cluster: by the latest
// configuration in the log, committed or not, as hashicorp/raft has it; or by
// a later one, told by a peer of that.
func (r *Raft) vouched(key string) bool {
	if r.live.Load() {
		for _, s := range r.hraft.GetConfiguration().Configuration().Servers {
			if c, err := parseCard(s.Address); err == nil && c.key == key {
				return true
			}
		}
	}
	_, index := r.peers.configuration()
	return r.book.vouches(key, index)
}

// called answers what another peer asks.
func (r *Raft) called(ctx context.Context, from caller, what string, body []byte) ([]byte, error) {
	switch {
	case what == callHello:
		return reply(body, func(h hello) (hello, error) { return r.greeted(from, h) })
	case what == callPromise && from.proven:
		return reply(body, func(p promise) (promised, error) { return r.promise(from, p) })
	case what == callJoin && from.proven:
		return reply(body, func(j joining) (welcome, error) { return r.welcome(ctx, from, j) })
	case what == callChange && !r.live.Load(): // it does not know yet who is a peer
		return reply(body, func(change) (changed, error) { return changed{Later: "this peer is starting"}, nil })
	case what == callChange && r.vouched(from.key):
		return reply(body, func(c change) (changed, error) { return r.changeHere(ctx, c) })
	case what == callChange && (from.trusted || from.proven):
		// Of a peer that was removed, too, which does not know it yet and asks for
		// somebody who wants to join: for that one this is no refusal.
		return reply(body, func(change) (changed, error) { return changed{Later: errStranger.Error()}, nil })
	case what == callPromise || what == callJoin:
		return nil, errors.New("whoever joins must prove that it knows the cluster's secret")
	}
	return nil, fmt.Errorf("this peer does not answer %q to this one", what)
}

// streamed takes a stream of another peer.
func (r *Raft) streamed(from, kind string, c net.Conn) {
	if r.live.Load() {
		switch kind {
		case streamRaft:
			r.transport.serve(c)
			return
		case streamHandOver:
			r.handOver.serve(c)
			return
		}
	}
	c.Close()
}

// find finds a peer in a configuration.
func find(servers []hraft.Server, id hraft.ServerID) (hraft.Server, bool) {
	for _, s := range servers {
		if s.ID == id {
			return s, true
		}
	}
	return hraft.Server{}, false
}
