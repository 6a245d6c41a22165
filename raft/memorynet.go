package raft

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
)

// way is the direction from one peer to another.
type way struct{ from, to string }

// memoryNetwork is one running peer's part in the network of a Memory.
type memoryNetwork struct {
	memory  *Memory
	name    string
	key     string // "": the name
	secret  []byte
	done    chan struct{} // closed when the peer stops or dies
	running sync.WaitGroup

	mu       sync.Mutex
	handlers handlers
	ended    bool
	streams  map[*pipeEnd]string // this peer's ends, and the keys at the others
}

var _ network = (*memoryNetwork)(nil)

// network returns the network of a peer that starts.
func (m *Memory) network(name, key string, secret []byte) *memoryNetwork {
	return &memoryNetwork{memory: m, name: name, key: or(key, name), secret: secret, done: make(chan struct{}), streams: map[*pipeEnd]string{}}
}

func (n *memoryNetwork) serve(h handlers) {
	n.handlers = h
	n.memory.mu.Lock()
	defer n.memory.mu.Unlock()
	n.memory.peers[n.name] = n
}

// peerAt is the peer's name in an address, with or without a port.
func peerAt(address string) string {
	name, _, _ := strings.Cut(address, ":")
	return name
}

// reach returns the peer that a target names. Through a partition nothing
// comes back, not even an error: it waits until that has healed.
func (n *memoryNetwork) reach(ctx context.Context, to target) (*memoryNetwork, error) {
	m, name := n.memory, peerAt(to.address)
	for {
		m.mu.Lock()
		peer, cut, changed := m.peers[name], m.cut[way{n.name, name}] || m.cut[way{name, n.name}], m.changed
		m.mu.Unlock()
		switch {
		case n.isOver():
			return nil, net.ErrClosed
		case !cut && (peer == nil || to.key != "" && to.key != peer.key):
			return nil, syscall.ECONNREFUSED
		case !cut:
			return peer, nil
		}
		select {
		case <-changed:
		case <-n.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *memoryNetwork) isOver() bool {
	select {
	case <-n.done:
		return true
	default:
		return false
	}
}

func (n *memoryNetwork) call(ctx context.Context, to target, what string, body []byte) ([]byte, error) {
	peer, err := n.reach(ctx, to)
	if err != nil {
		return nil, err
	}
	type answer struct {
		body []byte
		err  error
	}
	answered := make(chan answer, 1)
	handle := func() {
		h := peer.handlers
		from := caller{key: n.key, trusted: h.trusted(n.key), proven: len(n.secret) > 0 && bytes.Equal(n.secret, peer.secret)}
		if !from.trusted && !from.proven {
			answered <- answer{nil, &denied{"the key is not that of a peer here, and the secret is not proven"}}
			return
		}
		handling, cancel := context.WithCancel(context.Background())
		defer cancel()
		body, err := h.call(handling, from, what, bytes.Clone(body))
		if err != nil {
			err = &refusal{err.Error()}
		}
		answered <- answer{body, err}
	}
	if !peer.begin(handle) {
		return nil, syscall.ECONNRESET
	}
	select {
	case a := <-answered:
		if _, err := n.reach(ctx, to); err != nil { // the answer has a way to go, too
			return nil, err
		}
		return a.body, a.err
	case <-peer.done:
		return nil, syscall.ECONNRESET
	case <-n.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin runs a handler here, unless the peer is ending.
func (n *memoryNetwork) begin(handle func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return false
	}
	n.running.Go(handle)
	return true
}

func (n *memoryNetwork) dial(ctx context.Context, to target, kind string) (net.Conn, error) {
	peer, err := n.reach(ctx, to)
	if err != nil {
		return nil, err
	}
	if !peer.handlers.trusted(n.key) {
		return nil, &denied{"the key is not that of a peer here"}
	}
	here, there := n.pipe(peer)
	if !n.keep(here, peer.key) || !peer.keep(there, n.key) {
		here.die()
		return nil, syscall.ECONNRESET
	}
	if !peer.begin(func() { peer.handlers.stream(n.key, kind, there) }) {
		here.die()
		return nil, syscall.ECONNRESET
	}
	return here, nil
}

// pipe makes a stream to another peer.
func (n *memoryNetwork) pipe(peer *memoryNetwork) (here, there *pipeEnd) {
	out, in := newLane(), newLane()
	here = &pipeEnd{in: in, out: out, here: pipeName(n.name), there: pipeName(peer.name)}
	there = &pipeEnd{in: out, out: in, here: here.there, there: here.here}
	here.closedBefore = func() { n.forget(here) }
	there.closedBefore = func() { peer.forget(there) }
	return here, there
}

func (n *memoryNetwork) keep(end *pipeEnd, key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ended {
		n.streams[end] = key
	}
	return !n.ended
}

func (n *memoryNetwork) forget(end *pipeEnd) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.streams, end)
}

// ends returns the ends of all streams whose other peer's key is as asked for.
func (n *memoryNetwork) ends(which func(key string) bool) (all []*pipeEnd) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for end, key := range n.streams {
		if which(key) {
			all = append(all, end)
		}
	}
	return all
}

func (n *memoryNetwork) cut() {
	for _, end := range n.ends(func(key string) bool { return !n.handlers.trusted(key) }) {
		end.Close()
	}
}

// over ends the peer's part: nothing goes out or comes in any more.
func (n *memoryNetwork) over(end func(*pipeEnd)) {
	n.mu.Lock()
	was := n.ended
	n.ended = true
	n.mu.Unlock()
	if !was {
		close(n.done)
		n.memory.gone(n)
	}
	for _, e := range n.ends(func(string) bool { return true }) {
		end(e)
	}
}

func (n *memoryNetwork) close() error {
	n.over(func(e *pipeEnd) { e.Close() })
	n.running.Wait()
	return nil
}
