package test

import (
	"errors"
	"net"
	"sync"
	"testing"

	"vera/client"
)

// proxy stands between clients and a peer and can stop to carry either way,
// with both TCP connections left open: what a dead link looks like.
type proxy struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	up      bool // bytes go to the peer
	down    bool // bytes go to the client
	closed  bool
	pairs   []net.Conn
}

// between starts a proxy before a peer.
func between(t testing.TB, p *peer) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &proxy{listener: listener, to: p.client, up: true, down: true}
	x.changed = sync.NewCond(&x.mu)
	x.running.Go(x.accept)
	t.Cleanup(x.close)
	return x
}

func (x *proxy) accept() {
	for {
		client, err := x.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", x.to)
		if err != nil {
			client.Close()
			continue
		}
		// Little is kept in the kernel, so that a stop is felt at once.
		err = errors.Join(client.(*net.TCPConn).SetWriteBuffer(64<<10), server.(*net.TCPConn).SetReadBuffer(64<<10))
		x.mu.Lock()
		x.pairs = append(x.pairs, client, server)
		closed := x.closed || err != nil
		x.mu.Unlock()
		if closed {
			client.Close()
			server.Close()
			continue
		}
		x.running.Go(func() { x.carry(server, client, &x.up) })
		x.running.Go(func() { x.carry(client, server, &x.down) })
	}
}

// carry copies until either end is over; while open is false it neither reads
// nor tells of an end.
func (x *proxy) carry(to, from net.Conn, open *bool) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		x.mu.Lock()
		for !*open && !x.closed {
			x.changed.Wait()
		}
		x.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// carries says which ways are open from now on.
func (x *proxy) carries(up, down bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.up, x.down = up, down
	x.changed.Broadcast()
}

func (x *proxy) close() {
	x.mu.Lock()
	x.closed = true
	for _, conn := range x.pairs {
		conn.Close()
	}
	x.changed.Broadcast()
	x.mu.Unlock()
	x.listener.Close()
	x.running.Wait()
}

// callThrough connects to a peer through a proxy.
func callThrough(t testing.TB, p *peer, x *proxy, o client.Options) *caller {
	t.Helper()
	c, err := callAt(t, p, x.listener.Addr().String(), o)
	if err != nil {
		t.Fatalf("connect through the proxy: %v", err)
	}
	return c
}
