package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/cluster"
)

// TestCutOffPeerTellsItsClients: a peer that is cut off from the majority says
// so to clients that have something to lose, serves stale reads, refuses what it
// cannot confirm in time and truthfully, and is back when the cut heals. The
// others declare it gone; a session that lives there all the while keeps its
// items if the cut is shorter than its failover grace.
func TestCutOffPeerTellsItsClients(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			c := cluster.Start(t, 3, cluster.Options{Net: true, Flags: []string{"--failover-grace", "30s"}})
			cut := c.Leader()
			if who == "follower" {
				cut = c.Followers()[0]
			}
			m := connect(t, c, cut, client.Options{})
			held := must[client.Listing](t)(m.push("/data/cut", number{1}, "")).Version
			c.Isolate(cut)
			c.Await("the client to be told", func() error {
				if !m.conn.Suspended() {
					return errors.New("not suspended")
				}
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
			defer cancel()
			if l, err := m.conn.Get(ctx, "/data/cut"); err != nil || len(l.Items) != 1 {
				t.Errorf("a stale read: %+v, %v", l.Items, err)
			}
			start := time.Now()
			_, err := m.conn.Get(ctx, "/data/cut", client.Consistent())
			refusedInTime(t, "consistent get", err, start)
			start = time.Now()
			_, err = m.conn.Push(ctx, "/data/cut", number{2})
			refusedInTime(t, "push", err, start)

			other := connect(t, c, c.Peers[(index(c, cut)+1)%3], client.Options{})
			if l := must[client.Listing](t)(other.push("/data/cut", number{3}, "")); l.Version <= held {
				t.Errorf("version %d after %d", l.Version, held)
			}
			c.Heal()
			c.AwaitWhole()
			c.Await("the client to be told that it is over", func() error {
				if m.conn.Suspended() {
					return errors.New("still suspended")
				}
				return nil
			})
			s := must[client.Session](t)(m.session())
			if len(s.Items) == 0 || s.Items[0].Version != held {
				t.Errorf("the session holds %+v; version %d was pushed", s.Items, held)
			}
			if got := numbers(t, c, "/data/cut"); len(got) < 2 || got[0] != 1 {
				t.Errorf("the list holds %v", got)
			}
		})
	}
}

// refusedInTime holds an answer to what a peer without a leader may say.
func refusedInTime(t *testing.T, what string, err error, since time.Time) {
	t.Helper()
	refused, ok := errors.AsType[*vera.Error](err)
	if !ok || refused.Code != vera.Unavailable || refused.Applied == 0 && what == "push" {
		t.Errorf("%s: %v; Unavailable, and whether it was applied, was promised", what, err)
	}
	if took := time.Since(since); took > answerWithin+time.Second {
		t.Errorf("%s: refused after %v", what, took)
	}
}

// TestOneWayCutsAreSurvived: whichever one direction between two peers is cut,
// the cluster goes on and, healed, is whole.
func TestOneWayCutsAreSurvived(t *testing.T) {
	c := cluster.Start(t, 3, cluster.Options{Net: true})
	n := 0
	for _, from := range c.Peers {
		for _, to := range c.Peers {
			if from == to {
				continue
			}
			c.Cut(from, to)
			third := c.Peers[3-index(c, from)-index(c, to)]
			m := connect(t, c, third, client.Options{})
			n++
			must[client.Listing](t)(patient(t, m, fmt.Sprintf("/data/oneway/%d", n), n))
			c.Heal()
			c.AwaitWhole()
			if got := numbers(t, c, fmt.Sprintf("/data/oneway/%d", n)); len(got) != 1 || got[0] != n {
				t.Errorf("cut from %s to %s: the list holds %v", from.Name, to.Name, got)
			}
			m.conn.Abort()
		}
	}
}

func index(c *cluster.Cluster, p *cluster.Peer) int {
	for i, other := range c.Peers {
		if other == p {
			return i
		}
	}
	return -1
}
