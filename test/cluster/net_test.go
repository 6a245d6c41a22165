package cluster

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// TestCutsDropWhatIsSent shows that a cut cuts one way, and that it heals.
func TestCutsDropWhatIsSent(t *testing.T) {
	c := Prepare(t, 2, Options{Net: true})
	a, b := c.Peers[0], c.Peers[1]
	reaches := func(from, to *Peer) bool {
		host, _, err := net.SplitHostPort(to.Client)
		if err != nil {
			t.Fatal(err)
		}
		// A port that nobody listens on refuses at once, if it is reached.
		script := "exec 3<>/dev/tcp/" + host + "/9"
		cmd := exec.Command("ip", "netns", "exec", c.net.space(from.index), "timeout", "0.5", "bash", "-c", script)
		start := time.Now()
		_ = cmd.Run() // fails in any case
		return time.Since(start) < 400*time.Millisecond
	}
	if !reaches(a, b) || !reaches(b, a) {
		t.Fatal("the two do not reach each other to begin with")
	}
	c.Cut(a, b)
	if reaches(a, b) {
		t.Error("cut, and yet b is reached")
	}
	c.Heal()
	if !reaches(a, b) {
		t.Error("healed, and yet b is not reached")
	}
}
