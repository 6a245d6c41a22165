package raft

import (
	"context"
	"errors"
	"net"

	hraft "github.com/hashicorp/raft"
)

// connect returns how hashicorp/raft speaks with other peers; listen has them
// heard once it runs.
func (r *Raft) connect() hraft.Transport {
	r.handOver = &handOver{leading: r.leading, apply: func(entry []byte) { r.hraft.Apply(entry, 0) }}
	self := r.address()
	if r.options.Memory == nil {
		_, alone := hraft.NewInmemTransport(self)
		return alone
	}
	key := memoryKey(r.options.Name)
	r.network = r.options.Memory.network(r.options.Name, key, r.options.Secret)
	r.transport = newTransport(self, r.network, r.guard.Busy)
	r.handOver.network = r.network
	r.handOver.leader = func() hraft.ServerAddress {
		address, _ := r.hraft.LeaderWithID()
		return address
	}
	r.handOver.lost = func() { r.proposer.rest() }
	r.transport.nudges.commit = func() uint64 { return r.hraft.CommitIndex() }
	r.transport.nudges.leads = func(term uint64) bool { return r.hraft.State() == hraft.Leader && r.hraft.CurrentTerm() == term }
	return r.transport
}

// nudge has the followers told of what is committed, if there are any.
func (r *Raft) nudge() {
	if r.transport != nil {
		r.transport.nudges.committed()
	}
}

// address is this peer's in the newest configuration of its log or snapshot.
func (r *Raft) address() hraft.ServerAddress {
	if r.options.Memory == nil {
		return hraft.ServerAddress(r.raftID())
	}
	return hraft.ServerAddress(r.options.Memory.card(r.options.Name, r.directory.id).String())
}

// listen has other peers heard.
func (r *Raft) listen() {
	if r.network == nil {
		return
	}
	r.run(r.watchDisk)
	r.network.serve(handlers{
		trusted: r.trusts,
		call: func(context.Context, caller, string, []byte) ([]byte, error) {
			return nil, errors.New("nothing of that name can be asked for here")
		},
		stream: func(_, kind string, c net.Conn) {
			switch kind {
			case streamRaft:
				r.transport.serve(c)
			case streamHandOver:
				r.handOver.serve(c)
			default:
				c.Close()
			}
		},
	})
}

// trusts says whether a key is that of a peer in the newest configuration.
func (r *Raft) trusts(key string) bool {
	for _, s := range r.hraft.GetConfiguration().Configuration().Servers {
		if c, err := parseCard(s.Address); err == nil && c.key == key {
			return true
		}
	}
	return false
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
