package ws

import (
	"net/netip"
	"sync"

	"vera"
)

// spare is how many connections beyond the limit are accepted to be told so.
// Those beyond that are closed without a word.
const spare = 64

// crowd counts the connections of the client listeners: all, and those of each
// address.
type crowd struct {
	limits *vera.Limits

	mu    sync.Mutex
	total int
	by    map[netip.Addr]int // only while the limit of an address is set
}

func newCrowd(l *vera.Limits) *crowd { return &crowd{limits: l, by: map[netip.Addr]int{}} }

// enter counts a connection in any case, and says why it must be refused.
func (c *crowd) enter(address netip.Addr) *vera.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	c.count(address, 1)
	switch {
	case c.total > c.limits.Connections:
		return vera.Errorf(vera.Unavailable, "connections: this peer has its %d; try another one, or later", c.limits.Connections)
	case c.over(address):
		return c.tooMany(address)
	}
	return nil
}

// move counts a connection for another address: the one that a trusted proxy
// names.
func (c *crowd) move(from, to netip.Addr) *vera.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(from, -1)
	c.count(to, 1)
	if c.over(to) {
		return c.tooMany(to)
	}
	return nil
}

func (c *crowd) leave(address netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	c.count(address, -1)
}

// overflows says that not even a refusal can be afforded any more.
func (c *crowd) overflows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total >= c.limits.Connections+spare
}

// count does not count addresses that are not valid: proxies, and what has no
// address.
func (c *crowd) count(address netip.Addr, n int) {
	if c.limits.AddressConnections == 0 || !address.IsValid() {
		return
	}
	if c.by[address] += n; c.by[address] == 0 {
		delete(c.by, address)
	}
}

func (c *crowd) over(address netip.Addr) bool {
	return c.limits.AddressConnections > 0 && c.by[address] > c.limits.AddressConnections
}

func (c *crowd) tooMany(address netip.Addr) *vera.Error {
	return vera.Errorf(vera.TooManyRequests, "connections: %v has its %d", address, c.limits.AddressConnections)
}
