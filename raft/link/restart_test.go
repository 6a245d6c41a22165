package link

import (
	"errors"
	"io"
	"net"
	"testing"
)

// restart ends a peer and starts it anew, at the same address and with the same
// key.
func (p *peer) restart() {
	p.t.Helper()
	if err := p.Link.Close(); err != nil {
		p.t.Fatal(err)
	}
	l, err := New(p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Link = l
	listener, err := net.Listen("tcp", p.host)
	if err != nil {
		p.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve(listener) }()
	p.t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil && !errors.Is(err, ErrClosed) {
			p.t.Error(err)
		}
	})
}

func TestARestartIsNotNoticed(t *testing.T) {
	a, b := two(t)
	for n := range 5 {
		if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
			t.Fatalf("after %d restarts: %v", n, err)
		}
		b.restart()
	}
	if n := len(b.asked()); n != 5 {
		t.Errorf("%d calls handled, want 5: none is sent twice", n)
	}
}

func TestAStreamHoldsWhatCameBehindItsHead(t *testing.T) {
	a, b := two(t)
	// The side that was called speaks first, before the other one looks.
	go func() {
		in := <-b.streams
		in.Write([]byte("hello"))
		in.Close()
	}()
	out, err := a.Dial(within(t), b.host, b.KeyID(), "raft")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if got, err := io.ReadAll(out); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	// The side that calls speaks before it is answered.
	ln, err := a.connect(within(t), address{b.host, b.KeyID()})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.close()
	r, err := a.request(ln, "GET", streamPath+"raft", nil, "", map[string][]string{"Connection": {"Upgrade"}, "Upgrade": {protocol}})
	if err != nil {
		t.Fatal(err)
	}
	head := &collected{}
	if err := r.Write(head); err != nil {
		t.Fatal(err)
	}
	if _, err := ln.conn.Write(append(head.all, "early"...)); err != nil {
		t.Fatal(err)
	}
	in := <-b.streams
	defer in.Close()
	got := make([]byte, 5)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "early" {
		t.Errorf("%q, %v", got, err)
	}
}

type collected struct{ all []byte }

func (c *collected) Write(p []byte) (int, error) { c.all = append(c.all, p...); return len(p), nil }
