package link

import (
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stream is a TLS connection that is no longer one of HTTP.
type stream struct {
	*tls.Conn
	rest  []byte // came behind the head; of the one who reads
	open  prometheus.Gauge
	close sync.Once
}

// newStream makes a stream of a connection and what came behind its head.
func (l *Link) newStream(c *tls.Conn, rest []byte, way string) *stream {
	s := &stream{Conn: c, rest: append([]byte(nil), rest...), open: l.metrics.streams.WithLabelValues(way)}
	s.open.Inc()
	return s
}

// Read reads what came.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	return s.Conn.Read(p)
}

// Close ends the stream: the other side reads to its end.
func (s *stream) Close() error {
	s.close.Do(s.open.Dec)
	return s.Conn.Close()
}

// stream has Options.Stream take the connection over.
func (v *visit) stream(kind string) *denial {
	h := v.r.Header
	switch {
	case !v.from.Trusted:
		return no("unknown", "streams are for peers of this cluster")
	case v.r.Method != http.MethodGet || v.r.ContentLength != 0:
		v.w.Header().Set("Allow", http.MethodGet)
		return &denial{http.StatusMethodNotAllowed, "method", "a stream is opened by a GET without a body", nil}
	case !strings.EqualFold(h.Get("Connection"), "Upgrade") || !strings.EqualFold(h.Get("Upgrade"), protocol):
		v.w.Header().Set("Upgrade", protocol)
		return &denial{http.StatusUpgradeRequired, "method", "a stream is opened by an upgrade to " + protocol, nil}
	}
	raw, buffered, err := http.NewResponseController(v.w).Hijack()
	if err != nil {
		return nil // it left
	}
	_ = raw.SetDeadline(time.Now().Add(v.link.limits.head))
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n"
	if v.from.Proven {
		head += fieldProof + ": " + prove(v.link.o.Secret, answering, v.wire.exporter, v.link.id) + "\r\n"
	}
	if _, err := raw.Write([]byte(head + "\r\n")); err != nil {
		_ = raw.Close()
		return nil
	}
	_ = raw.SetDeadline(time.Time{})
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	v.link.o.Stream(v.from.Key, kind, v.link.newStream(raw.(*tls.Conn), rest, "in"))
	return nil
}
