package cluster

// firstHost is the number of the first space that is no peer's.
const firstHost = 100

// Host is a machine without a peer, for clients: it can be cut off from all
// peers. It needs Options.Net.
type Host struct {
	c     *Cluster
	space int
}

// Host makes one more.
func (c *Cluster) Host() *Host {
	c.t.Helper()
	h := &Host{c, firstHost + c.net.hosts}
	c.net.hosts++
	c.net.add(h.space)
	return h
}

// Within is what is put before a command so that it runs there.
func (h *Host) Within() []string { return []string{"ip", "netns", "exec", h.c.net.space(h.space)} }

// Cut drops what goes between the host and all peers, both ways.
func (h *Host) Cut() {
	h.c.t.Helper()
	w := h.c.net
	for _, p := range h.c.Peers {
		w.must("ip netns exec %s iptables -w -A INPUT -s %s -j DROP", w.space(p.index), w.address(h.space))
		w.must("ip netns exec %s iptables -w -A INPUT -s %s -j DROP", w.space(h.space), w.address(p.index))
	}
}

// Heal ends the cut.
func (h *Host) Heal() {
	h.c.t.Helper()
	w := h.c.net
	for _, p := range h.c.Peers {
		w.must("ip netns exec %s iptables -w -D INPUT -s %s -j DROP", w.space(p.index), w.address(h.space))
	}
	w.must("ip netns exec %s iptables -w -F INPUT", w.space(h.space))
}
