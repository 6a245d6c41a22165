package raft

import (
	"context"
	"net"
)

// network is how this peer speaks with the others. Package link is one, over
// HTTPS; Memory is another, for tests in fake time. Its methods may be called
// from any goroutine.
type network interface {
	// serve has the handlers called from now on. It is called once.
	serve(h handlers)
	// call sends one request and returns its answer. An error that the handler
	// there returned comes back as a *refusal, *denied says that there was none, and any other that nobody knows
	// whether the request was handled.
	call(ctx context.Context, to target, what string, body []byte) ([]byte, error)
	// dial opens a stream of a kind.
	dial(ctx context.Context, to target, kind string) (net.Conn, error)
	// cut ends all that is open with peers that handlers.trusted trusts no more.
	cut()
	// close ends everything and waits until no handler runs.
	close() error
}

// target is a peer that is spoken with.
type target struct {
	address string // host:port of its peer listener
	key     string // its key, as link.KeyID has it; "": whoever answers and proves the secret
}

// caller is who asks.
type caller struct {
	key     string
	trusted bool // handlers.trusted said so
	proven  bool // it proved, in this request, that it knows the cluster's secret
}

// handlers are what a network calls. All may be called from any goroutine.
type handlers struct {
	// trusted says whether a key is that of a member of the cluster.
	trusted func(key string) bool
	// call answers a request: of a member, or of who proved the secret. An error
	// is told to the caller, so it holds no secret.
	call func(ctx context.Context, from caller, what string, body []byte) ([]byte, error)
	// stream takes a stream over from a member, and closes it.
	stream func(from, kind string, c net.Conn)
}

// refusal is an error that the other peer answered with.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }

// denied is an error: the other peer does not know this one's key, and saw no
// proof of its own secret. Nothing was handled.
type denied struct{ message string }

func (d *denied) Error() string { return d.message }
