package raft

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera/raft/link"
)

// overHTTPS makes a network that trusts whoever trusted names, and says where and
// who it is.
func overHTTPS(t *testing.T, trusted func(key string) bool, streams chan net.Conn) (network, target) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, err := newHTTPS(httpsOptions{
		Key: key, Cluster: func() string { return "c" }, Secret: []byte("a secret of many bytes"), Listener: listener,
		Logger: zerolog.Nop(), Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.serve(handlers{
		trusted: trusted,
		call: func(_ context.Context, from caller, what string, body []byte) ([]byte, error) {
			if what == "refuse" {
				return nil, errors.New("no")
			}
			return append([]byte(from.key), body...), nil
		},
		stream: func(from, kind string, c net.Conn) { streams <- c },
	})
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	})
	return n, target{listener.Addr().String(), link.KeyID(key.Public().(ed25519.PublicKey))}
}

func TestHTTPSIsANetwork(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	streams := make(chan net.Conn, 1)
	member := make(chan bool, 1) // has whether others are trusted
	member <- true
	trusted := func(string) bool { is := <-member; member <- is; return is }
	a, at := overHTTPS(t, trusted, streams)
	b, bt := overHTTPS(t, trusted, streams)

	if answer, err := a.call(ctx, bt, "say", []byte("!")); err != nil || string(answer) != at.key+"!" {
		t.Errorf("%q, %v", answer, err)
	}
	_, err := b.call(ctx, at, "refuse", nil)
	if r, ok := errors.AsType[*refusal](err); !ok || r.message != "no" {
		t.Errorf("%v, want a refusal", err)
	}
	out, err := a.dial(ctx, bt, "raft")
	if err != nil {
		t.Fatal(err)
	}
	in := <-streams
	<-member
	member <- false
	b.cut()
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("the stream was not cut")
	}
	_, _ = io.Copy(io.Discard, out) // ends
	_ = errors.Join(in.Close(), out.Close())
	if _, err := a.dial(ctx, bt, "raft"); err == nil {
		t.Error("a stream of one who is trusted no more")
	} else if _, ok := errors.AsType[*refusal](err); ok {
		t.Errorf("%v is no refusal of a handler", err)
	}
}

func TestHTTPSThatServedNobodyCloses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newHTTPS(httpsOptions{Listener: listener}); err == nil {
		t.Error("made without a key")
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("the listener is open after an error")
	}
}
