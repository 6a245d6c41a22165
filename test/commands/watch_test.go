package commands

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vera/client"
	"vera/test/cluster"
)

// TestWatchGoesOnAtAnotherPeer kills the peer of a `vera watch`: it goes on at
// another one, tells nothing again when nothing changed, and then what changes.
func TestWatchGoesOnAtAnotherPeer(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 3, calm())
	watched, other := c.Leader(), c.Followers()[0]
	holder := call(t, other.Client, client.Options{})
	if _, err := holder.Push(within(t), "/data/watched", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	w := start(t, c.Binary(), "watch", "/data/watched", "--server", "http://"+watched.Client)
	lines := func(n int) []string {
		t.Helper()
		eventually(t, "another line of vera watch", func() error {
			if strings.Count(w.out.String(), "\n") < n {
				return errors.New("it printed " + w.out.String())
			}
			return nil
		})
		return strings.Split(strings.TrimSpace(w.out.String()), "\n")
	}
	lines(1)
	watched.Kill()
	eventually(t, "vera watch to be at another peer", func() error {
		for _, p := range c.Running() {
			if n, err := p.Metric("vera_connections"); err == nil && (p == other && n > 1 || p != other && n > 0) {
				return nil
			}
		}
		return errors.New("it is at none")
	})
	second, err := holder.Push(within(t), "/data/watched", map[string]int{"n": 2})
	if err != nil {
		t.Fatal(err)
	}
	var last client.Notification
	all := lines(2)
	if err := json.Unmarshal([]byte(all[1]), &last); err != nil || len(all) != 2 || len(last.Items) != 2 || last.Items[1].Version != second.Version {
		t.Errorf("%v: %v", err, all)
	}
}
