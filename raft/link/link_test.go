package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"vera/test/ports"
)

var (
	secretA = []byte("the secret of cluster A, long enough")
	secretB = []byte("the secret of cluster B, long enough")
)

// peer is a Link in a test, with a listener on loopback, and what it was asked.
type peer struct {
	*Link
	t        testing.TB
	host     string
	registry *prometheus.Registry
	served   chan error

	mu      sync.Mutex
	trusted map[string]bool
	cluster string
	callers []Caller
	streams chan net.Conn
	answer  func(ctx context.Context, from Caller, what string, body []byte) ([]byte, error)
}

// newKey makes a key.
func newKey(t testing.TB) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newPeer starts a peer of cluster "a"; change may change its options before.
func newPeer(t testing.TB, change func(*Options, *limits)) *peer {
	t.Helper()
	p := &peer{t: t, registry: prometheus.NewRegistry(), served: make(chan error, 1), trusted: map[string]bool{}, cluster: "a", streams: make(chan net.Conn, 64)}
	p.answer = func(_ context.Context, _ Caller, what string, body []byte) ([]byte, error) {
		return append([]byte(what+" "), body...), nil
	}
	o := Options{
		Key: newKey(t), Secret: secretA, Logger: zerolog.New(zerolog.NewTestWriter(t)), Metrics: p.registry,
		Cluster: func() string { p.mu.Lock(); defer p.mu.Unlock(); return p.cluster },
		Trusted: func(key string) bool { p.mu.Lock(); defer p.mu.Unlock(); return p.trusted[key] },
		Call: func(ctx context.Context, from Caller, what string, body []byte) ([]byte, error) {
			p.mu.Lock()
			p.callers = append(p.callers, from)
			answer := p.answer
			p.mu.Unlock()
			return answer(ctx, from, what, body)
		},
		Stream: func(_, _ string, c net.Conn) { p.streams <- c },
	}
	times := usual()
	if change != nil {
		change(&o, &times)
	}
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l.limits = times
	p.Link = l
	p.host = ports.For(t, 1).Address(0) // which is its own over restarts
	listener, err := net.Listen("tcp", p.host)
	if err != nil {
		t.Fatal(err)
	}
	go func() { p.served <- l.Serve(listener) }()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-p.served; err != nil && !errors.Is(err, ErrClosed) { // closed before it was served
			t.Error(err)
		}
	})
	return p
}

func (p *peer) trust(others ...*peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range others {
		p.trusted[o.KeyID()] = true
	}
}

func (p *peer) distrust(other *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.trusted, other.KeyID())
}

func (p *peer) asked() []Caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Caller(nil), p.callers...)
}

// two starts two peers that trust each other.
func two(t testing.TB) (a, b *peer) {
	t.Helper()
	a, b = newPeer(t, nil), newPeer(t, nil)
	a.trust(b)
	b.trust(a)
	return a, b
}

func within(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(stop)
	return ctx
}

func TestCall(t *testing.T) {
	a, b := two(t)
	for n := range 3 {
		answer, err := a.Call(within(t), b.host, b.KeyID(), "greet", fmt.Append(nil, n))
		if want := fmt.Sprintf("greet %d", n); err != nil || string(answer) != want {
			t.Fatalf("%q, %v; want %q", answer, err, want)
		}
	}
	for _, from := range b.asked() {
		if from != (Caller{a.KeyID(), true, true}) {
			t.Errorf("called by %+v", from)
		}
	}
	if n := b.count(true); n != 1 {
		t.Errorf("%d connections for calls one after another, want 1", n)
	}
}

func TestCallTellsTheOthersError(t *testing.T) {
	a, b := two(t)
	b.answer = func(context.Context, Caller, string, []byte) ([]byte, error) {
		return nil, errors.New("the name is\ntaken")
	}
	_, err := a.Call(within(t), b.host, b.KeyID(), "join", nil)
	refused, ok := errors.AsType[*Refused](err)
	if !ok || refused.Status != http.StatusUnprocessableEntity || refused.Message != "the name is taken" {
		t.Fatalf("%v", err)
	}
}

func TestStream(t *testing.T) {
	a, b := two(t)
	out, err := a.Dial(within(t), b.host, b.KeyID(), "raft")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in := <-b.streams
	for _, way := range [][2]net.Conn{{out, in}, {in, out}} {
		sent := bytes.Repeat([]byte("0123456789"), 30_000)
		go way[0].Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("after the other side closed: %v, want the end", err)
	}
}
