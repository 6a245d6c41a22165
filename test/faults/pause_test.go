package faults

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"vera/client"
	"vera/test/cluster"
)

// soak says whether tests run at their full size.
func soak() bool { return os.Getenv("VERA_SOAK") != "" }

// TestPausedLeaderTellsNothingStale: a leader stands still until another leads
// and something was pushed there. When it wakes, a consistent read through it,
// asked before it knows, is not older than that push, and no session with a
// live socket on it has ended.
func TestPausedLeaderTellsNothingStale(t *testing.T) {
	pauses := 10
	if soak() {
		pauses = 200
	}
	c := cluster.Start(t, 3, cluster.Options{Flags: []string{"--failover-grace", "3s"}})
	for i := range pauses {
		leader := c.Leader()
		other := c.Followers()[i%2]
		path := fmt.Sprintf("/data/paused/%d", i)
		writer := connect(t, c, other, client.Options{Grace: time.Minute})
		holder := connect(t, c, leader, client.Options{Grace: client.NoGrace, Heartbeat: time.Minute})
		held := must[client.Listing](t)(holder.push(path+"/held", number{i}, "")).Version

		leader.Stop()
		version := must[client.Listing](t)(patient(t, writer, path, i)).Version
		const readers = 8
		var reading sync.WaitGroup
		for range readers { // their questions wait in its sockets when it wakes
			reading.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), answerWithin+time.Second)
				defer cancel()
				l, err := holder.conn.Get(ctx, path, client.Consistent())
				switch {
				case err != nil && lost(err):
					t.Errorf("pause %d: the holder's connection: %v", i, err)
				case err == nil && (len(l.Items) != 1 || l.Items[0].Version != version):
					t.Errorf("pause %d: a stale consistent read: index %d, %d items; version %d was acknowledged before", i, l.Index, len(l.Items), version)
				}
			})
		}
		pause(20 * time.Millisecond)
		leader.Continue()
		reading.Wait()
		c.AwaitWhole()
		l, err := holder.conn.Get(t.Context(), path+"/held", client.Consistent())
		if err != nil || len(l.Items) != 1 || l.Items[0].Version != held {
			t.Errorf("pause %d: the item of a session whose socket lived through it: %+v, %v", i, l.Items, err)
		}
		writer.conn.Abort()
		holder.conn.Abort()
		if t.Failed() {
			return
		}
	}
}

// patient pushes with one key until it is answered: an election may take longer
// than a push waits.
func patient(t testing.TB, m *mover, path string, n int) (l client.Listing, err error) {
	t.Helper()
	err = cluster.Ask(cluster.Patience, func() error {
		l, err = m.push(path, number{n}, path)
		return err
	})
	return l, err
}
