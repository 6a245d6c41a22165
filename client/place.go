package client

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"
)

// place is a URL under which a peer may be found.
type place struct {
	url      string
	peer     string        // who answered there last, or is said to; "": not known
	given    bool          // by the caller; else the cluster told of it
	failures int           // in a row
	retry    time.Duration // it is not tried before
}

// id names who is there, as well as it is known.
func (p *place) id() string { return cmp.Or(p.peer, p.url) }

// member is what /vera/peers tells of a peer.
type member struct {
	Name   string `json:"name"`
	Client string `json:"client"`
	Role   string `json:"role"`
	Gone   bool   `json:"gone"`
}

// leads and votes say what a peer's role is.
func (m *member) leads() bool { return m.Role == "leader" }
func (m *member) votes() bool { return m.leads() || m.Role == "follower" }

// atlas is where peers may be found, and who they are.
type atlas struct {
	places  []*place
	members []member // as /vera/peers told last; nil: not known yet
}

// newAtlas begins with the servers that the caller gave, in random order.
func newAtlas(servers []string) *atlas {
	a := &atlas{}
	for _, url := range servers {
		if !slices.ContainsFunc(a.places, func(p *place) bool { return p.url == url }) {
			a.places = append(a.places, &place{url: url, given: true})
		}
	}
	rand.Shuffle(len(a.places), func(i, j int) { a.places[i], a.places[j] = a.places[j], a.places[i] })
	return a
}

// learn takes what /vera/peers told: new URLs are added, and those that it
// once told and tells no more are forgotten.
func (a *atlas) learn(items []Item) {
	a.members = nil
	for _, item := range items {
		var m member
		if item.Decode(&m) == nil && m.Name != "" {
			a.members = append(a.members, m)
		}
	}
	a.places = slices.DeleteFunc(a.places, func(p *place) bool {
		return !p.given && !slices.ContainsFunc(a.members, func(m member) bool { return m.Client == p.url })
	})
	for _, m := range a.members {
		i := slices.IndexFunc(a.places, func(p *place) bool { return p.url == m.Client })
		switch {
		case m.Client == "":
		case i < 0:
			a.places = slices.Insert(a.places, rand.IntN(len(a.places)+1), &place{url: m.Client, peer: m.Name})
		case !a.places[i].given || a.places[i].peer == "": // who was found at a given one counts more
			a.places[i].peer = m.Name
		}
	}
}

// leader returns the name of the peer that leads, "" when none is known.
func (a *atlas) leader() string {
	for _, m := range a.members {
		if m.leads() && !m.Gone {
			return m.Name
		}
	}
	return ""
}

// want returns how many connections a client should have.
func (a *atlas) want(c Connections) int {
	if c == One {
		return 1
	}
	voters := 0
	for _, m := range a.members {
		if m.votes() {
			voters++
		}
	}
	if voters == 0 {
		for _, p := range a.places {
			if p.given {
				voters++
			}
		}
	}
	return majority(voters)
}

// open returns the peers that may be tried at a moment, the best first: those
// known by name, those that did not fail lately. When none may be tried and
// one must be, all may.
func (a *atlas) open(now time.Duration, must bool) (peers []string) {
	fit := slices.Clone(a.places)
	slices.SortStableFunc(fit, func(x, y *place) int {
		return cmp.Or(cmp.Compare(a.doubt(x), a.doubt(y)), cmp.Compare(x.retry, y.retry))
	})
	for _, p := range fit {
		if p.retry <= now && !slices.Contains(peers, p.id()) {
			peers = append(peers, p.id())
		}
	}
	if len(peers) == 0 && must {
		for _, p := range fit {
			peers = append(peers, p.id())
		}
	}
	return peers
}

// doubt says how little is to be hoped for from a place.
func (a *atlas) doubt(p *place) (doubt int) {
	switch i := slices.IndexFunc(a.members, func(m member) bool { return m.Name == p.peer }); {
	case i < 0:
		doubt = 1
	case a.members[i].Gone:
		doubt = 4
	case !a.members[i].votes():
		doubt = 2
	}
	if p.failures > 0 {
		doubt += 8
	}
	return doubt
}

// find returns the best place for a peer that is not in use; nil when there is
// none.
func (a *atlas) find(id string, used func(*place) bool) (best *place) {
	for _, p := range a.places {
		if p.id() == id && !used(p) && (best == nil || p.retry < best.retry) {
			best = p
		}
	}
	return best
}

// decoded reads an answer.
func decoded[T any](answer []byte) (v T, err error) { return v, json.Unmarshal(answer, &v) }
