package web

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"vera/test/cluster"
)

var images = flag.String("images", "", "a `folder` for the pictures of presence: ../../docs/images renews those of the documents")

// grace of the sessions in these tests.
const grace = 3 * time.Second

// pictures returns where pictures go.
func pictures(t *testing.T) string {
	if *images != "" {
		return *images
	}
	return t.TempDir()
}

func TestPresenceInThreeTabs(t *testing.T) {
	c := cluster.Start(t, 1, cluster.Options{Flags: times(grace)})
	p := c.Peers[0]
	drive(t, "presence.mjs", map[string]func(){"kill": p.Kill, "restart": p.Restart},
		"PAGE="+present(t, p), fmt.Sprint("GRACE=", grace.Milliseconds()), "IMAGES="+pictures(t))
}

// The page goes on at another peer, be it the leader that died.
func TestPresenceGoesOnAtAnotherPeer(t *testing.T) {
	c := cluster.Start(t, 3, cluster.Options{Flags: times(grace)})
	leader, others := c.Leader(), c.Followers()
	drive(t, "moves.mjs", map[string]func(){"kill": leader.Kill, "restart": leader.Restart, "kill another": others[0].Kill},
		"PAGE="+present(t, append([]*cluster.Peer{leader}, others...)...))
}
