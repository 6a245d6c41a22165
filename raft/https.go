package raft

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"vera/raft/link"
)

// httpsOptions are how newHTTPS is made. Key, Cluster and Listener must be given.
type httpsOptions struct {
	Key      ed25519.PrivateKey
	Cluster  func() string // "" while it is not known yet
	Secret   []byte        // the cluster's; none: nobody can prove it
	Listener net.Listener  // of peers; owned from now on
	Logger   zerolog.Logger
	Metrics  prometheus.Registerer
	Fatal    func(error) // the listener failed
}

// https is the network of peers that are processes of their own: package link.
type https struct {
	*link.Link
	listener net.Listener
	fatal    func(error)
	handlers atomic.Pointer[handlers] // nil: nobody is trusted yet
	served   chan struct{}            // closed when the listener is
}

// newHTTPS makes a network. It answers nobody before serve. After an error the
// listener is closed.
func newHTTPS(o httpsOptions) (network, error) {
	n := &https{listener: o.Listener, fatal: o.Fatal, served: make(chan struct{})}
	l, err := link.New(link.Options{
		Key: o.Key, Cluster: o.Cluster, Secret: o.Secret, Logger: o.Logger, Metrics: o.Metrics,
		Trusted: func(key string) bool {
			h := n.handlers.Load()
			return h != nil && h.trusted(key)
		},
		Call: func(ctx context.Context, from link.Caller, what string, body []byte) ([]byte, error) {
			return n.handlers.Load().call(ctx, caller{from.Key, from.Trusted, from.Proven}, what, body)
		},
		Stream: func(from, kind string, c net.Conn) { n.handlers.Load().stream(from, kind, c) },
	})
	if err != nil {
		return nil, errors.Join(err, o.Listener.Close())
	}
	n.Link = l
	return n, nil
}

func (n *https) serve(h handlers) {
	n.handlers.Store(&h)
	go func() {
		defer close(n.served)
		if err := n.Serve(n.listener); err != nil && !errors.Is(err, link.ErrClosed) {
			n.fatal(err)
		}
	}()
}

func (n *https) call(ctx context.Context, to target, what string, body []byte) ([]byte, error) {
	answer, err := n.Call(ctx, to.address, to.key, what, body)
	if refused, ok := errors.AsType[*link.Refused](err); ok && refused.Status == http.StatusUnprocessableEntity {
		return nil, &refusal{refused.Message}
	} else if ok && refused.Status == http.StatusUnauthorized {
		return nil, &denied{refused.Message}
	}
	return answer, err
}

func (n *https) dial(ctx context.Context, to target, kind string) (net.Conn, error) {
	return n.Dial(ctx, to.address, to.key, kind)
}

func (n *https) cut() { n.Cut() }

func (n *https) close() error {
	err := n.Close()
	if n.handlers.Load() == nil {
		return errors.Join(err, n.listener.Close())
	}
	<-n.served
	return err
}
