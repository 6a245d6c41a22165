package socket

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vera"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitFor bounds what a test waits for. What is promised to be quick is
// measured by itself.
const waitFor = 10 * time.Second

// backend is one way to carry sockets, and how a test gets a connection for it.
type backend struct {
	name string
	kind Backend
	pipe func(t testing.TB) (client, server net.Conn)
}

// backends is what every conformance test runs on. A new back end gets a row.
func backends() []backend {
	return []backend{
		{"goroutines", Goroutines(), loopback},
		{"streams", Streams(), loopback},
		{"pipe", Goroutines(), func(testing.TB) (client, server net.Conn) { return net.Pipe() }},
		{"tls", Goroutines(), encrypted},
	}
}

func loopback(t testing.TB) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// certificate makes one that signs itself, for the whole test run.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func encrypted(t testing.TB) (client, server net.Conn) {
	client, server = loopback(t)
	outer := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	inner := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	failed := make(chan error, 1)
	go func() { failed <- inner.Handshake() }()
	if err := outer.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return inner, outer
}

// limitsFor returns small limits that tests do not wait long for.
func limitsFor() *vera.Limits {
	l := vera.DefaultLimits(1000)
	l.Message = 100_000
	return &l
}

// newGroup returns a group that ends with the test.
func newGroup(t testing.TB, b Backend, l *vera.Limits) *Group {
	g := New(Options{Limits: l, Backend: b})
	t.Cleanup(g.Close)
	return g
}

// echo is a connection that sends back what it receives. Its socket is known
// before anything is received.
type echo struct {
	socket *Socket
	ended  chan vera.Ending

	mu       sync.Mutex
	received []string
	queue    [][]byte
	refuses  bool // Receive says no
	over     bool
}

func newEcho(g *Group, heartbeat time.Duration) *echo {
	return &echo{socket: g.Socket(heartbeat), ended: make(chan vera.Ending, 10)}
}

func (e *echo) Receive(message []byte) bool {
	e.mu.Lock()
	if e.over {
		panic("Receive after Closed")
	}
	e.received = append(e.received, string(message))
	e.queue = append(e.queue, message)
	more := !e.refuses
	e.mu.Unlock()
	e.socket.Wake()
	return more
}

func (e *echo) Pull(batch [][]byte, most int) [][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		panic("Pull after Closed")
	}
	n, size := 0, 0
	for n < len(e.queue) && (n == 0 || size+len(e.queue[n]) <= most) {
		size += len(e.queue[n])
		n++
	}
	batch = append(batch, e.queue[:n]...)
	e.queue = slices.Delete(e.queue, 0, n)
	return batch
}

func (e *echo) Closed(how vera.Ending) {
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
	e.ended <- how
}

func (e *echo) send(messages ...string) {
	e.mu.Lock()
	for _, m := range messages {
		e.queue = append(e.queue, []byte(m))
	}
	e.mu.Unlock()
	e.socket.Wake()
}

func (e *echo) refuse(no bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuses = no
}

func (e *echo) heard() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.received)
}

// how waits until the connection was told that it ended.
func (e *echo) how(t testing.TB) vera.Ending {
	t.Helper()
	select {
	case how := <-e.ended:
		return how
	case <-time.After(waitFor):
		t.Fatal("Closed was not called")
		return 0
	}
}

// gone waits until the group has no socket.
func gone(t testing.TB, g *Group) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	timer := time.AfterFunc(waitFor, func() { t.Error("a socket stays"); g.idle.Broadcast() })
	defer timer.Stop()
	for len(g.live) > 0 && !t.Failed() {
		g.idle.Wait()
	}
}

func nothing() {}
