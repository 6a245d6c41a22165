package clients

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"vera/client"
	"vera/test/cluster"
)

// stage is a cluster on which actors of one language play.
type stage struct {
	*cluster.Cluster
	line []string // starts an actor
	dir  string   // where
	here string   // the name of the language
}

// path is a list that no other scenario has.
func (s *stage) path(t testing.TB) string { return "/data/" + t.Name() }

// connect starts an actor and connects it to all peers.
func (s *stage) connect(t testing.TB, name string, c Command) *actor {
	t.Helper()
	return s.connectFrom(t, nil, name, c)
}

// connectFrom is connect, with something put before the actor's command line.
func (s *stage) connectFrom(t testing.TB, within []string, name string, c Command) *actor {
	t.Helper()
	a := act(t, s.here+" "+name, append(slices.Clone(within), s.line...), s.dir)
	c.Do = "connect"
	for _, p := range s.Peers {
		c.URLs = append(c.URLs, "http://"+p.Client)
	}
	must[Line](t)(a.ask(c))
	return a
}

// connections counts those of a peer.
func connections(p *cluster.Peer) float64 {
	n, err := p.Metric("vera_connections")
	if err != nil {
		return 0 // it does not run
	}
	return n
}

// only waits until a single connection is there and returns its peer.
func (s *stage) only(t testing.TB) (at *cluster.Peer) {
	t.Helper()
	wait(t, "a single connection", func() error {
		for _, p := range s.Running() {
			if connections(p) > 0 {
				at = p
			}
		}
		if n := s.total(); n != 1 {
			return fmt.Errorf("%v are there", n)
		}
		return nil
	})
	return at
}

// total counts the connections of all peers.
func (s *stage) total() (n float64) {
	for _, p := range s.Running() {
		n += connections(p)
	}
	return n
}

// closed counts the connections of a peer that are over.
func closed(p *cluster.Peer) float64 {
	n, err := p.Metric("vera_closes_total")
	if err != nil {
		return 0 // none was yet
	}
	return n
}

// roles waits until the only client has its two connections, one to the leader
// and one, which listens, to another peer, and returns these two.
func (s *stage) roles(t testing.TB) (leader, ears *cluster.Peer) {
	t.Helper()
	wait(t, "one connection to the leader and one elsewhere", func() error {
		leader, ears = s.Leader(), nil
		for _, p := range s.Running() {
			if p != leader && connections(p) == 1 {
				ears = p
			}
		}
		if connections(leader) != 1 || ears == nil || s.total() != 2 {
			return fmt.Errorf("%v at the leader, %v in all", connections(leader), s.total())
		}
		return nil
	})
	return leader, ears
}

// leave waits until no client is connected any more and the cluster is whole.
func (s *stage) leave(t testing.TB) {
	t.Helper()
	s.AwaitWhole()
	wait(t, "all connections to be over", func() error {
		if n := s.total(); n > 0 {
			return fmt.Errorf("%v are there", n)
		}
		return nil
	})
}

// read reads a list from a peer, as it is.
func read(t testing.TB, p *cluster.Peer, path string) []client.Item {
	t.Helper()
	var l client.Listing
	wait(t, "a consistent read of "+path, func() error {
		text, err := p.Get(path + "?consistent=true")
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &l)
	})
	return l.Items
}

// list reads a list that nobody changes from every peer: all must have the same.
func (s *stage) list(t testing.TB, path string) []client.Item {
	t.Helper()
	last := read(t, s.Peers[0], path)
	for _, p := range s.Peers[1:] {
		if items := read(t, p, path); !slices.EqualFunc(items, last, same) {
			t.Errorf("%s: %s has %v, %s %v", path, p.Name, versions(items), s.Peers[0].Name, versions(last))
		}
	}
	return last
}

// empties waits until a list is empty.
func (s *stage) empties(t testing.TB, path string) {
	t.Helper()
	wait(t, path+" to be empty", func() error {
		if items := read(t, s.Peers[0], path); len(items) > 0 {
			return fmt.Errorf("it holds %v", versions(items))
		}
		return nil
	})
}

// lostNothing makes sure that the client was told of no loss, and never that it
// is in one of these states.
func (a *actor) lostNothing(states ...string) {
	a.t.Helper()
	if lost := a.heard("lost"); len(lost) > 0 {
		a.t.Errorf("%s: told to be lost: %d, %s", a.name, lost[0].Version, lost[0].Reason)
	}
	began := false
	for _, e := range a.heard("state") {
		if began = began || e.State == "connected"; began && slices.Contains(states, e.State) {
			a.t.Errorf("%s: told that it is %s", a.name, e.State)
		}
	}
	if !began {
		a.t.Errorf("%s: was never told that it is connected", a.name)
	}
}
