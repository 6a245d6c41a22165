package raft

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	hraft "github.com/hashicorp/raft"

	"vera"
	"vera/raft/state"
)

// peers is the cluster as the list /vera/peers, as this peer knows it. It
// changes only with an entry of the log, so that its etag is an index: with a
// configuration, and with the first mark after anything else changed.
type peers struct {
	leader  func() hraft.ServerID
	changed func() // is told of a configuration; must not block
	self    hraft.ServerID
	list    atomic.Pointer[state.List]
	dirty   atomic.Bool
	sole    atomic.Bool             // self is the only voter
	many    atomic.Bool             // there are others
	first   hraft.ServerID          // the leader in the list; only build uses it
	gone    func(state.PeerID) bool // says whether the log declared a peer gone

	mu      sync.Mutex
	servers []hraft.Server
	index   uint64                    // of that configuration, or of one before it
	cards   map[hraft.ServerID]card   // of the others, as far as they can be read
	others  map[state.PeerID]string   // their names
	strange bool                      // some other's card cannot be read
	joined  map[hraft.ServerID]uint64 // index of the first configuration seen with it
	card    card                      // of self, as it is now
	away    map[state.PeerID]bool     // who is gone, as the list says
}

// peerItem is what an item of the list says.
type peerItem struct {
	Name   string `json:"name"`
	ID     string `json:"id"`
	Client string `json:"client,omitempty"` // URL for clients
	Peer   string `json:"peer,omitempty"`   // URL for peers
	Role   string `json:"role"`             // leader, follower, or observer
	Gone   bool   `json:"gone,omitempty"`   // nothing was heard of it for long: its sessions are to go on elsewhere
}

func newPeers(self hraft.ServerID, own card) *peers {
	p := &peers{self: self, card: own, joined: map[hraft.ServerID]uint64{}, leader: func() hraft.ServerID { return "" }, changed: func() {}, gone: func(state.PeerID) bool { return false }}
	p.list.Store(state.NewList(0, nil))
	return p
}

// renew has the next mark build the list anew.
func (p *peers) renew() { p.dirty.Store(true) }

// configure takes a configuration of the cluster and its index.
func (p *peers) configure(c hraft.Configuration, index uint64) {
	defer p.changed()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers, p.index = c.Servers, index
	p.cards, p.others, p.strange = map[hraft.ServerID]card{}, map[state.PeerID]string{}, false
	voters, votes := 0, false
	for _, s := range c.Servers {
		if s.Suffrage == hraft.Voter {
			voters++
			votes = votes || s.ID == p.self
		}
		if c, err := parseCard(s.Address); s.ID != p.self && err == nil {
			p.cards[s.ID], p.others[c.peer] = c, peerName(s.ID)
		} else if s.ID != p.self {
			p.strange = true
		}
		if p.joined[s.ID] == 0 {
			p.joined[s.ID] = index
		}
	}
	p.sole.Store(voters == 1 && votes)
	p.many.Store(len(c.Servers) > 1)
	p.dirty.Store(true)
}

// company says whether there are other peers.
func (p *peers) company() bool { return p.many.Load() }

// alone says whether this peer is the only one that votes.
func (p *peers) alone() bool { return p.sole.Load() }

// member says whether the cluster has another peer of that id. It is true of
// all as long as some peer's card says nothing.
func (p *peers) member(id state.PeerID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.strange || p.others[id] != ""
}

// name returns the name of a peer by its id, which itself stands for a name
// that is not known.
func (p *peers) name(id state.PeerID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == p.card.peer {
		return peerName(p.self)
	}
	if name := p.others[id]; name != "" {
		return name
	}
	return fmt.Sprintf("%016x", uint64(id))
}

func (p *peers) setClientURL(url string) {
	p.mu.Lock()
	p.card.client = url
	p.mu.Unlock()
	p.dirty.Store(true)
	p.changed()
}

// configuration returns who belongs to the cluster, and since which index.
func (p *peers) configuration() ([]hraft.Server, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.servers, p.index
}

// own returns this peer's card as it is now.
func (p *peers) own() card {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.card
}

// look has the list built anew if another peer is gone, or back, than it says.
// Only the applying goroutine calls it.
func (p *peers) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := func(id state.PeerID) bool { return p.gone(id) != p.away[id] }
	for id := range p.others {
		if news(id) {
			p.dirty.Store(true)
		}
	}
	if news(p.card.peer) {
		p.dirty.Store(true)
	}
}

// build makes the list anew if anything changed, as of an index. Only the
// applying goroutine calls it.
func (p *peers) build(index uint64) (change state.Change, changed bool) {
	leader := p.leader()
	if !p.dirty.Swap(false) && (leader == p.first || leader == "") {
		return change, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = leader
	p.away = map[state.PeerID]bool{}
	items := make([]*vera.Item, 0, len(p.servers))
	for _, s := range p.servers {
		item := p.item(s, leader)
		items = append(items, item)
		if s.ID == leader {
			copy(items[1:], items)
			items[0] = item
		}
	}
	before, after := p.list.Load(), state.NewList(index, items)
	p.list.Store(after)
	return state.Change{Path: vera.PeersPath, Before: before, After: after}, true
}

func (p *peers) item(s hraft.Server, leader hraft.ServerID) *vera.Item {
	data := peerItem{Name: peerName(s.ID), ID: string(s.ID), Role: "follower"}
	switch {
	case s.ID == leader:
		data.Role = "leader"
	case s.Suffrage != hraft.Voter:
		data.Role = "observer"
	}
	c := p.cards[s.ID]
	if s.ID == p.self {
		c = p.card
	}
	data.Client = c.client
	if c.address != "" {
		data.Peer = cardScheme + c.address
	}
	if data.Gone = p.gone(c.peer); data.Gone {
		p.away[c.peer] = true
	}
	raw, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("raft: a peer that is no JSON: %v", err)) // strings always are
	}
	return &vera.Item{Origin: &vera.Origin{Version: p.joined[s.ID], Owner: data.Name}, Data: raw}
}

// peerName takes the random part off a Raft id.
func peerName(id hraft.ServerID) string {
	name := string(id)
	return name[:max(0, strings.LastIndexByte(name, '-'))]
}
