package link

import (
	"crypto/tls"
	"net"
)

// door is the listener that net/http sees: it counts who comes in.
type door struct {
	net.Listener
	link *Link
	tls  *tls.Config
}

// Accept returns the next connection that there is room for. The TLS handshake
// is yet to come; net/http makes it.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if w := d.link.welcome(c); w != nil {
			return tls.Server(w, d.tls), nil
		}
	}
}

// wireOf finds the wire in a request's context.
type wireOf struct{}
