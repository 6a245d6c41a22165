package ws

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"time"

	"vera/ws/head"
)

// listener makes a guard of each connection that comes in.
type listener struct {
	net.Listener
	site *site
}

// Accept returns a guard. Connections far beyond the limit are closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.site.admin && l.site.crowd.overflows() {
			_ = conn.Close()
			continue
		}
		return l.site.guard(conn), nil
	}
}

// guard takes a connection in and counts it.
func (s *site) guard(conn net.Conn) *guard {
	g := &guard{Conn: conn, tcp: conn, site: s, accepted: time.Now(), broken: make(chan struct{}, 1)}
	if remote := addressOf(conn); s.trusted(remote) {
		if tcp, ok := conn.(*net.TCPConn); ok {
			g.Conn = &announced{TCPConn: tcp}
		}
	} else {
		g.counted = remote
	}
	if s.secure != nil {
		g.Conn = tls.Server(g.Conn, s.secure)
	}
	if !s.admin {
		if crowded := s.crowd.enter(g.counted); crowded != nil {
			g.crowded = crowded
		}
	}
	return g
}

// leave counts a connection no more.
func (s *site) leave(counted netip.Addr) {
	if !s.admin {
		s.crowd.leave(counted)
	}
}

// leaver returns what is to be called when a connection leaves, without memory
// of its own if it can.
func (s *site) leaver(counted netip.Addr) func() {
	if s.Limits.AddressConnections == 0 {
		return s.anyone
	}
	return func() { s.leave(counted) }
}

// client returns the address that the connection comes from, as far as this
// peer or a PROXY header can tell. It is not valid for what has no IP address.
func (g *guard) client() netip.Addr {
	below := g.Conn
	if secure, ok := below.(*tls.Conn); ok {
		below = secure.NetConn()
	}
	if a, ok := below.(*announced); ok && a.client.IsValid() {
		return a.client
	}
	return addressOf(g.tcp)
}

// addressOf returns the other side's IP address.
func addressOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// announced is a connection of a trusted proxy, which may begin with a PROXY
// header.
type announced struct {
	*net.TCPConn
	client netip.Addr // as the header tells it
	rest   []byte     // came behind the header
	began  bool
}

// Read takes the PROXY header off.
func (a *announced) Read(p []byte) (int, error) {
	if !a.began {
		if err := a.begin(); err != nil {
			return 0, err
		}
	}
	if len(a.rest) > 0 {
		n := copy(p, a.rest)
		a.rest = a.rest[n:]
		return n, nil
	}
	return a.TCPConn.Read(p)
}

func (a *announced) begin() error {
	buffer := make([]byte, 0, 4096)
	for {
		n, err := a.TCPConn.Read(buffer[len(buffer):cap(buffer)])
		if buffer = buffer[:len(buffer)+n]; n == 0 {
			return err
		}
		client, n, more, err := head.Proxy(buffer)
		if err != nil {
			return io.EOF
		}
		if !more {
			a.client, a.rest, a.began = client.Unmap(), buffer[n:], true
			return nil
		}
	}
}
