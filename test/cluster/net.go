package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network is a bridge with a namespace for each peer. The test itself is on the
// bridge too, so that its clients reach every peer whatever is cut.
type network struct {
	t      testing.TB
	number int   // of the network: the third byte of its addresses
	spaces []int // made
	hosts  int   // of those, how many are hosts
}

// newNetwork makes namespaces for n peers.
func newNetwork(t testing.TB, n int) *network {
	t.Helper()
	if err := privileged(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("network namespaces: %v", err)
		}
		t.Skipf("SKIPPED, and with it partitions: network namespaces: %v", err)
	}
	w := &network{t: t}
	w.claim()
	t.Cleanup(w.release)
	w.must("ip addr add 10.83.%d.254/24 dev %s", w.number, w.bridge())
	w.must("ip link set %s up", w.bridge())
	for i := range n {
		w.add(i)
	}
	return w
}

func privileged() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root may make them")
	}
	for _, name := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w (apt-get install iproute2 iptables)", err)
		}
	}
	return nil
}

// claim makes a bridge with a number that no other network on this machine
// has: the bridge itself is the claim.
func (w *network) claim() {
	w.t.Helper()
	var err error
	for k := range 250 { // test binaries run side by side: each begins at a place of its own
		w.number = (os.Getpid()*7 + k) % 250
		if err = w.try("ip link add %s type bridge", w.bridge()); err == nil {
			return
		}
	}
	w.t.Fatalf("no network could be made: %v (if runs that were killed left their bridges vera-br…: delete them)", err)
}

func (w *network) bridge() string       { return fmt.Sprintf("vera-br%d", w.number) }
func (w *network) space(i int) string   { return fmt.Sprintf("vera-%d-%d", w.number, i) }
func (w *network) link(i int) string    { return fmt.Sprintf("vera%d-%d", w.number, i) }
func (w *network) address(i int) string { return fmt.Sprintf("10.83.%d.%d", w.number, i+1) }
func (w *network) must(f string, a ...any) {
	w.t.Helper()
	if err := w.try(f, a...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *network) try(f string, a ...any) error {
	line := fmt.Sprintf(f, a...)
	fields := strings.Fields(line)
	if out, err := exec.Command(fields[0], fields[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// add makes a peer's namespace.
func (w *network) add(i int) {
	w.t.Helper()
	_ = w.try("ip link del %s", w.link(i)) // of a run that was killed
	_ = w.try("ip netns del %s", w.space(i))
	w.must("ip netns add %s", w.space(i))
	w.spaces = append(w.spaces, i)
	w.must("ip link add %s type veth peer name eth0 netns %s", w.link(i), w.space(i))
	w.must("ip link set %s master %s up", w.link(i), w.bridge())
	w.must("ip netns exec %s ip addr add %s/24 dev eth0", w.space(i), w.address(i))
	w.must("ip netns exec %s ip link set eth0 up", w.space(i))
	w.must("ip netns exec %s ip link set lo up", w.space(i))
}

// release deletes everything.
func (w *network) release() {
	for _, i := range w.spaces {
		_ = w.try("ip link del %s", w.link(i)) // at once: with its namespace it would go later
		_ = w.try("ip netns del %s", w.space(i))
	}
	if err := w.try("ip link del %s", w.bridge()); err != nil {
		w.t.Error(err)
	}
}

// Cut drops what one peer sends to another, one way.
func (c *Cluster) Cut(from, to *Peer) {
	c.t.Helper()
	c.net.must("ip netns exec %s iptables -w -A INPUT -s %s -j DROP", c.net.space(to.index), c.net.address(from.index))
}

// Part cuts two peers off from each other, both ways.
func (c *Cluster) Part(a, b *Peer) {
	c.t.Helper()
	c.Cut(a, b)
	c.Cut(b, a)
}

// Isolate cuts a peer off from all other peers. Clients still reach it.
func (c *Cluster) Isolate(p *Peer) {
	c.t.Helper()
	for _, other := range c.Peers {
		if other != p {
			c.Part(p, other)
		}
	}
}

// Heal ends every cut.
func (c *Cluster) Heal() {
	c.t.Helper()
	for _, p := range c.Peers {
		c.net.must("ip netns exec %s iptables -w -F INPUT", c.net.space(p.index))
	}
}

// Within is what is put before a command so that it runs where a peer does: it
// reaches that peer whatever is cut, and others as that peer does.
func (c *Cluster) Within(p *Peer) []string {
	return []string{"ip", "netns", "exec", c.net.space(p.index)}
}
