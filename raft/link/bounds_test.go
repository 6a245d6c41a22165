package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLargeBodies(t *testing.T) {
	a, b := two(t)
	for _, size := range []int{0, 1, smallBody, smallBody + 1, MaxBody} {
		body := bytes.Repeat([]byte("x"), size)
		b.answer = func(_ context.Context, _ Caller, _ string, got []byte) ([]byte, error) { return got, nil }
		answer, err := a.Call(within(t), b.host, b.KeyID(), "echo", body)
		if err != nil || !bytes.Equal(answer, body) {
			t.Fatalf("%d bytes: %d came back, %v", size, len(answer), err)
		}
	}
	if _, err := a.Call(within(t), b.host, b.KeyID(), "echo", make([]byte, MaxBody+1)); err == nil {
		t.Error("sent more than the other side takes")
	}
	b.answer = func(context.Context, Caller, string, []byte) ([]byte, error) { return make([]byte, MaxBody+1), nil }
	if _, err := a.Call(within(t), b.host, b.KeyID(), "echo", nil); !isStatus(err, http.StatusUnprocessableEntity) {
		t.Errorf("an answer that is too large: %v", err)
	}
	b.answer = func(context.Context, Caller, string, []byte) ([]byte, error) {
		return nil, errors.New(strings.Repeat("long ", maxTold))
	}
	if _, err := a.Call(within(t), b.host, b.KeyID(), "echo", nil); !isStatus(err, http.StatusUnprocessableEntity) || len(err.Error()) > maxTold {
		t.Errorf("a long error: %v", err)
	}
}

func TestTooLargeABodyIsNotRead(t *testing.T) {
	a, b := two(t)
	ln, r := raw(t, a, b, "hello")
	r.Body, r.ContentLength = io.NopCloser(endless{}), MaxBody+1
	if status, said := send(t, ln, r); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %q", status, said)
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestARefusalOfALargeBodyIsHeard(t *testing.T) {
	b := newPeer(t, nil)
	stranger := newPeer(t, func(o *Options, _ *limits) { o.Secret = nil })
	_, err := stranger.Call(within(t), b.host, b.KeyID(), "greet", make([]byte, 8<<20))
	if !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("%v", err)
	}
}

func TestASlowBodyIsRefused(t *testing.T) {
	for _, row := range []struct {
		name        string
		piece, body time.Duration
		content     io.Reader
	}{
		{"it stops", 150 * time.Millisecond, time.Minute, stopping(t)},
		{"it drips", 150 * time.Millisecond, time.Minute, &dripping{every: 20 * time.Millisecond, piece: 1}},
		{"it goes on slowly", time.Minute, 300 * time.Millisecond, &dripping{every: 50 * time.Millisecond, piece: piece}},
	} {
		b := newPeer(t, func(_ *Options, l *limits) { l.piece, l.body = row.piece, row.body })
		a := newPeer(t, nil)
		b.trust(a)
		ln, r := raw(t, a, b, "hello")
		r.Body, r.ContentLength = io.NopCloser(row.content), MaxBody
		began := time.Now()
		status, said := sendSlowly(t, ln, r)
		if status != http.StatusRequestTimeout {
			t.Errorf("%s: %d %q", row.name, status, said)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: answered after %v", row.name, took)
		}
		if len(b.asked()) != 0 {
			t.Errorf("%s: was handled", row.name)
		}
	}
}

// sendSlowly sends a request and does not wait for its end to read the answer.
func sendSlowly(t *testing.T, ln *line, r *http.Request) (int, string) {
	t.Helper()
	var sent sync.WaitGroup
	sent.Go(func() { _ = r.Write(immediate{ln.conn}) })
	defer sent.Wait()
	defer ln.wire.Close()
	ln.bound.left = maxHead
	answer, err := http.ReadResponse(ln.r, r)
	if err != nil {
		t.Fatal(err)
	}
	said, err := ln.read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(said)
}

// immediate keeps net/http from buffering what is written.
type immediate struct{ net.Conn }

func (c immediate) WriteByte(b byte) error {
	_, err := c.Write([]byte{b})
	return err
}

// stopping is a body that never comes.
func stopping(t *testing.T) io.Reader {
	r, w := io.Pipe()
	time.AfterFunc(time.Second, func() { w.Close() })
	return r
}

// dripping is a body that comes slowly.
type dripping struct {
	every time.Duration
	piece int
}

func (d *dripping) Read(p []byte) (int, error) {
	<-time.After(d.every)
	return min(d.piece, len(p)), nil
}

func TestConnectionsToOnePeerAreFew(t *testing.T) {
	a, b := two(t)
	var now, most atomic.Int32
	b.answer = func(context.Context, Caller, string, []byte) ([]byte, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		<-time.After(2 * time.Millisecond)
		return nil, nil
	}
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if most.Load() > maxLines || b.count(true) > maxLines || most.Load() < 2 {
		t.Errorf("%d calls at a time, %d connections, at most %d", most.Load(), b.count(true), maxLines)
	}
}

func TestIdleConnectionsClose(t *testing.T) {
	b := newPeer(t, nil)
	a := newPeer(t, func(_ *Options, l *limits) { l.keep = 50 * time.Millisecond })
	b.trust(a)
	if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is open", func() bool { return a.count(false) == 0 && b.count(true) == 0 })
}

func TestPoolsAreFew(t *testing.T) {
	a := newPeer(t, nil)
	for i := range maxPools + 10 {
		a.poolOf(address{"h", string(rune('a' + i))})
	}
	if len(a.pools) > maxPools {
		t.Errorf("%d pools, at most %d", len(a.pools), maxPools)
	}
}

func TestTheContextEndsACallAndADial(t *testing.T) {
	a, b := two(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	left := make(chan struct{})
	b.answer = func(ctx context.Context, _ Caller, _ string, _ []byte) ([]byte, error) {
		stop() // now that it is here
		<-ctx.Done()
		close(left)
		return nil, nil
	}
	if _, err := a.Call(ctx, b.host, b.KeyID(), "wait", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-left
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, stop = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	began := time.Now()
	if c, err := a.Dial(ctx, silent.Addr().String(), b.KeyID(), "raft"); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("%v, %v after %v", c, err, time.Since(began))
	}
	eventually(t, "nothing is open", func() bool { return a.count(false) == 0 })
}

func TestBadNamesAreNotSent(t *testing.T) {
	a, b := two(t)
	for _, name := range []string{"", "A", "a/b", "../x", "a b", "é", strings.Repeat("x", maxName+1)} {
		if _, err := a.Call(within(t), b.host, b.KeyID(), name, nil); err == nil {
			t.Errorf("a call %q", name)
		}
		if _, err := a.Dial(within(t), b.host, b.KeyID(), name); err == nil {
			t.Errorf("a stream %q", name)
		}
	}
	if n := b.count(true); n != 0 {
		t.Errorf("%d connections", n)
	}
}
