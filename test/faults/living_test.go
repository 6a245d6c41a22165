package faults

import (
	"errors"
	"testing"
	"time"

	"vera/client"
	"vera/test/cluster"
)

// TestPingedSessionKeepsItsItems: a session that answers its pings never loses
// an item, through many elections; each takes the leadership from whoever has
// it by a pause or a kill of a peer that the session is not connected to.
func TestPingedSessionKeepsItsItems(t *testing.T) {
	elections := 6
	if soak() {
		elections = 50
	}
	c := cluster.Start(t, 3, cluster.Options{})
	holders := make([]*mover, 0, 3)
	for _, p := range c.Peers {
		m := connect(t, c, p, client.Options{Grace: client.NoGrace, Heartbeat: 300 * time.Millisecond})
		must[client.Listing](t)(m.push("/data/pinged", number{len(holders)}, ""))
		holders = append(holders, m)
	}
	for n := range elections {
		leader := c.Leader()
		if n%2 == 0 {
			if err := leader.Post("/peers/" + c.Followers()[0].Name + "/transfer"); err != nil {
				t.Errorf("transfer %d: %v", n, err)
			}
		} else {
			leader.Stop()
			c.Await("another leader", func() error {
				for _, p := range c.Running() {
					if seen, err := p.Known(); err == nil && len(seen) > 0 && seen[0].Role == "leader" && seen[0].Name != leader.Name {
						return nil
					}
				}
				return errors.New("none yet")
			})
			leader.Continue()
		}
		c.AwaitWhole()
		if got := numbers(t, c, "/data/pinged"); len(got) != len(holders) {
			t.Fatalf("after election %d the list holds %v", n+1, got)
		}
	}
	for i, m := range holders {
		if m.conn.Err() != nil {
			t.Errorf("holder %d lost its connection: %v", i, m.conn.Err())
		}
	}
}

// TestSilentSessionEndsThoughLeadersChange: the items of a client that says
// nothing any more leave within twice its heartbeat, its grace, and an election,
// also while the leadership moves every second.
func TestSilentSessionEndsThoughLeadersChange(t *testing.T) {
	const heartbeat, grace = 500 * time.Millisecond, 1500 * time.Millisecond
	c := cluster.Start(t, 3, cluster.Options{})
	watcher := connect(t, c, c.Peers[2], client.Options{})
	silent := connect(t, c, c.Peers[1], client.Options{Heartbeat: heartbeat, Grace: grace})
	must[client.Listing](t)(silent.push("/data/silent", number{1}, ""))
	stop := make(chan struct{})
	moving := make(chan error, 1)
	go func() { moving <- moveLeadership(c, stop) }()
	w, _, err := watcher.conn.Watch(t.Context(), "/data/silent")
	if err != nil {
		t.Fatal(err)
	}
	silent.tcp.mute()
	start := time.Now()
	bound := 2*heartbeat + grace + 3*time.Second // an election of a second or two, and this machine
	n, err := w.Next(t.Context())
	if err == nil && len(n.Added) > 0 { // of the push, when this peer was behind
		n, err = w.Next(t.Context())
	}
	took := time.Since(start)
	close(stop)
	if moved := <-moving; moved != nil {
		t.Error(moved)
	}
	if err != nil || len(n.Removed) != 1 || n.Removed[0].Reason != "expired" {
		t.Fatalf("told %+v, %v", n, err)
	}
	if took > bound || took < grace {
		t.Errorf("the item left after %v; at least %v and at most %v was promised", took, grace, bound)
	}
	t.Logf("gone after %v", took)
}

// moveLeadership hands the leadership round, every second.
func moveLeadership(c *cluster.Cluster, stop <-chan struct{}) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
		// A request in the middle of an election may be refused; the next one goes through.
		_ = c.Peers[i%3].Post("/peers/" + c.Peers[(i+1)%3].Name + "/transfer")
	}
}
