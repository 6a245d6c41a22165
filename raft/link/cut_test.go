package link

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// ended fails unless a connection is closed by somebody else, soon.
func ended(t *testing.T, what string, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := c.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); err == nil || (ok && timeout.Timeout()) {
		t.Errorf("%s: %v, want it ended", what, err)
	}
	c.Close()
}

// opened opens a stream and returns both ends.
func opened(t *testing.T, from, to *peer) (out, in net.Conn) {
	t.Helper()
	out, err := from.Dial(within(t), to.host, to.KeyID(), "raft")
	if err != nil {
		t.Fatal(err)
	}
	return out, <-to.streams
}

func TestARemovedPeerIsCutOff(t *testing.T) {
	a, b := two(t)
	c := newPeer(t, nil)
	b.trust(c)
	c.trust(b)
	fromA, atB := opened(t, a, b)
	fromB, err := b.Dial(within(t), a.host, "", "raft") // to whoever is there
	if err != nil {
		t.Fatal(err)
	}
	atA := <-a.streams
	fromC, stays := opened(t, c, b)
	defer fromC.Close()
	defer stays.Close()
	began, over := make(chan struct{}), make(chan error, 1)
	b.answer = func(ctx context.Context, from Caller, _ string, _ []byte) ([]byte, error) {
		if from.Key == a.KeyID() {
			close(began)
			<-ctx.Done()
		}
		return nil, ctx.Err()
	}
	go func() {
		_, err := a.Call(t.Context(), b.host, b.KeyID(), "wait", nil)
		over <- err
	}()
	<-began
	b.Cut()
	if b.count(true) != 3 || b.count(false) != 1 {
		t.Fatalf("%d in, %d out: members were cut", b.count(true), b.count(false))
	}
	b.distrust(a)
	b.Cut()
	if in, out := b.count(true), b.count(false); in != 1 || out != 0 {
		t.Errorf("%d in, %d out, want only the member's one", in, out)
	}
	ended(t, "its stream", fromA)
	ended(t, "its stream, here", atB)
	ended(t, "our stream to it", fromB)
	ended(t, "our stream to it, there", atA)
	if err := <-over; err == nil {
		t.Error("its call was answered")
	}
	go fromC.Write([]byte("x"))
	if _, err := io.ReadFull(stays, make([]byte, 1)); err != nil {
		t.Errorf("the stream of a member: %v", err)
	}
	if _, err := c.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Errorf("a member: %v", err)
	}
}

func TestCutSparesAGuestAndItsHost(t *testing.T) {
	b, joiner := newPeer(t, nil), newPeer(t, nil)
	b.answer = func(context.Context, Caller, string, []byte) ([]byte, error) {
		b.Cut() // the configuration changed: perhaps for another peer
		joiner.Cut()
		return []byte("welcome"), nil
	}
	for _, key := range []string{"", b.KeyID()} {
		if answer, err := joiner.Call(within(t), b.host, key, "join", nil); err != nil || string(answer) != "welcome" {
			t.Errorf("%q, %v", answer, err)
		}
	}
}

func TestIdleConnectionsToARemovedPeerAreCut(t *testing.T) {
	a, b := two(t)
	if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Fatal(err)
	}
	if a.count(false) != 1 {
		t.Fatal("the connection was not kept")
	}
	a.distrust(b)
	a.Cut()
	if n := a.count(false); n != 0 {
		t.Errorf("%d connections out", n)
	}
	eventually(t, "it is gone there, too", func() bool { return b.count(true) == 0 })
}

func TestCloseEndsEverythingAndWaits(t *testing.T) {
	a, b := two(t)
	fromA, atB := opened(t, a, b)
	began, leave := make(chan struct{}), make(chan struct{})
	b.answer = func(ctx context.Context, _ Caller, _ string, _ []byte) ([]byte, error) {
		close(began)
		<-ctx.Done()
		<-leave
		return nil, nil
	}
	go a.Call(t.Context(), b.host, b.KeyID(), "wait", nil)
	<-began
	closed := make(chan struct{})
	go func() { b.Close(); close(closed) }()
	ended(t, "a stream", fromA)
	ended(t, "a stream, here", atB)
	select {
	case <-closed:
		t.Error("Close returned while a handler ran")
	default:
	}
	close(leave)
	<-closed
	if b.count(true) != 0 || b.count(false) != 0 {
		t.Errorf("%d in, %d out after Close", b.count(true), b.count(false))
	}
	if _, err := b.Call(within(t), a.host, a.KeyID(), "greet", nil); err == nil {
		t.Error("a call after Close")
	}
	if _, err := b.Dial(within(t), a.host, a.KeyID(), "raft"); err == nil {
		t.Error("a stream after Close")
	}
	if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err == nil {
		t.Error("it answered after Close")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseBeforeServe(t *testing.T) {
	l, err := New(Options{Key: newKey(t), Cluster: func() string { return "a" }, Trusted: func(string) bool { return false }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Serve(listener); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("the listener is open")
	}
}
