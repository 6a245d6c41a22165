package raft

import (
	"net"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
)

// A peer that moves, or is removed, leaves its old address behind: nothing is
// kept for that.
func TestLinesToWhoFollowsNoMoreAreClosed(t *testing.T) {
	tr := newTransport("self", nil, func() time.Duration { return 0 })
	defer func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}()
	tr.nudges.follows = func(a hraft.ServerAddress) bool { return a != "old" }
	ends := map[hraft.ServerAddress]net.Conn{}
	for _, a := range []hraft.ServerAddress{"old", "stays"} {
		here, there := net.Pipe()
		defer there.Close()
		ends[a] = there
		tr.nudges.of(a)
		tr.give(a, newLine(here))
	}
	tr.nudges.of("new")
	for a, there := range ends {
		err := there.SetDeadline(time.Time{}) // which a pipe without its other end refuses
		if open := err == nil; open != (a == "stays") {
			t.Errorf("the line to %s: %v", a, err)
		}
	}
	if len(tr.idle) != 1 || len(tr.nudges.all) != 2 {
		t.Errorf("idle lines to %d addresses, %d followers", len(tr.idle), len(tr.nudges.all))
	}
}
