package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// liar is a peer that holds a key and answers every request, once it is read,
// with what answer says. It returns its address, its KeyID and how many
// requests it has heard.
func liar(t *testing.T, answer func(c *tls.Conn, r *http.Request)) (host, key string, heard *atomic.Int32) {
	t.Helper()
	own, key := named(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(own))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	heard = new(atomic.Int32)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					heard.Add(1)
					answer(c.(*tls.Conn), r)
				}
			}()
		}
	}()
	return listener.Addr().String(), key, heard
}

// repeat writes something, then something else until nobody listens or, when
// that is nothing, the end.
func repeat(c net.Conn, first, then string) {
	for _, err := c.Write([]byte(first)); err == nil && then != ""; {
		_, err = c.Write([]byte(then))
	}
	c.Close()
}

// unproven is a peer that knows no secret, so that it believes who holds a key.
func unproven(o *Options, _ *limits) { o.Secret = nil }

// A peer whose key is known answers nonsense, to calls and to streams: each ends
// with an error, soon, and with little memory.
func TestAttackByAnswers(t *testing.T) {
	long := strings.Repeat("x", 4096)
	a := newPeer(t, unproven)
	for name, answer := range map[string]func(c *tls.Conn, r *http.Request){
		"nothing":              func(c *tls.Conn, _ *http.Request) { c.Close() },
		"no HTTP":              func(c *tls.Conn, _ *http.Request) { repeat(c, "", long) },
		"an endless line":      func(c *tls.Conn, _ *http.Request) { repeat(c, "HTTP/1.1 200 ", long) },
		"an endless field":     func(c *tls.Conn, _ *http.Request) { repeat(c, "HTTP/1.1 200 OK\r\nX: ", long) },
		"endless fields":       func(c *tls.Conn, _ *http.Request) { repeat(c, "HTTP/1.1 200 OK\r\n", "X: y\r\n") },
		"endless informations": func(c *tls.Conn, _ *http.Request) { repeat(c, "", "HTTP/1.1 102 Processing\r\n\r\n") },
		"no length":            func(c *tls.Conn, _ *http.Request) { repeat(c, "HTTP/1.1 200 OK\r\n\r\n", long) },
		"chunks": func(c *tls.Conn, _ *http.Request) {
			repeat(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n")
		},
		"too much": func(c *tls.Conn, _ *http.Request) {
			repeat(c, "HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n", long)
		},
		"a long refusal": func(c *tls.Conn, _ *http.Request) {
			repeat(c, "HTTP/1.1 422 No\r\nContent-Length: 16777216\r\n\r\n", long)
		},
		"a negative length": func(c *tls.Conn, _ *http.Request) { repeat(c, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", long) },
		"less than it says": func(c *tls.Conn, _ *http.Request) {
			repeat(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "")
		},
		"an answer that is yet to come": func(c *tls.Conn, _ *http.Request) { _, _ = c.Write([]byte("HTTP/1.1 102 Processing\r\n\r\n")) },
		"a redirect": func(c *tls.Conn, _ *http.Request) {
			repeat(c, "HTTP/1.1 307 Go\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "")
		},
	} {
		host, key, heard := liar(t, answer)
		a.mu.Lock()
		a.trusted[key] = true
		a.mu.Unlock()
		before := allocated()
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		if said, err := a.Call(ctx, host, key, "greet", []byte("hello")); err == nil {
			t.Errorf("%s: a call is answered with %d bytes", name, len(said))
		}
		if c, err := a.Dial(ctx, host, key, "raft"); err == nil {
			c.Close()
			t.Errorf("%s: a stream is opened", name)
		}
		if ctx.Err() != nil {
			t.Errorf("%s: it took more than 5 s", name)
		}
		stop()
		if n := heard.Load(); n != 2 {
			t.Errorf("%s: %d requests were sent, want 2", name, n)
		}
		if ln := a.poolOf(address{host, key}).pop(); ln != nil && name == "a redirect" {
			ln.close() // it was whole: the line is kept
		}
		if n := a.count(false); n != 0 {
			t.Errorf("%s: %d connections are left", name, n)
		}
		if used := allocated() - before; used > 8<<20 {
			t.Errorf("%s: %d bytes were allocated", name, used)
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Who refuses for ever, with one challenge after another, is asked twice; and a
// call that was answered with anything but 401 is not sent again.
func TestAttackByChallenges(t *testing.T) {
	a := newPeer(t, nil)
	host, key, heard := liar(t, func(c *tls.Conn, r *http.Request) {
		name := r.Header.Get("Vera-Receiver")
		head := http.Header{"Vera-Receiver": {name}, "Content-Length": {"0"}}
		head.Set("Accept-Signature", `vera=();nonce="c`+strings.Repeat("A", 43)+`"`)
		answer := &http.Response{StatusCode: http.StatusUnauthorized, ProtoMajor: 1, ProtoMinor: 1, Header: head}
		_ = answer.Write(c)
	})
	if _, err := a.Call(within(t), host, key, "greet", nil); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("%v", err)
	}
	if n := heard.Load(); n != 2 {
		t.Errorf("%d requests were sent, want 2", n)
	}
	a.mu.Lock()
	a.trusted[key] = true
	a.mu.Unlock()
	if _, err := a.Dial(within(t), host, key, "raft"); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("%v", err)
	}
	if n := heard.Load(); n != 4 {
		t.Errorf("%d requests were sent, want 4", n)
	}
}

// What a peer sends before it is asked is no answer to what is asked later.
func TestAttackByAnswersInAdvance(t *testing.T) {
	a := newPeer(t, unproven)
	host, key, heard := liar(t, func(c *tls.Conn, _ *http.Request) {
		_, _ = c.Write([]byte(strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 2)))
	})
	for n := range int32(5) {
		if _, err := a.Call(within(t), host, key, "greet", nil); err != nil {
			t.Fatal(err)
		}
		if heard.Load() != n+1 {
			t.Errorf("call %d was answered by what came before it", n)
		}
	}
}

// Who is asked because it may prove the secret learns nothing that it could use
// as a member: neither a call nor a stream to b comes of it.
func TestAttackWithWhatAJoinerSends(t *testing.T) {
	b := newPeer(t, nil)
	joiner := newPeer(t, nil)
	b.trust(joiner)
	var status atomic.Int32
	host, _, heard := liar(t, func(c *tls.Conn, r *http.Request) {
		defer c.Close()
		own, err := certify(newKey(t), "x")
		if err != nil {
			return
		}
		out, err := tls.Dial("tcp", b.host, clientTLS(own, b.KeyID()))
		if err != nil {
			return
		}
		defer out.Close()
		state := out.ConnectionState()
		value, err := exporter(state)
		if err != nil {
			return
		}
		r.Header.Set(fieldConnection, text(value)) // the proof stays that of the joiner's connection
		r.Header["User-Agent"] = nil
		if r.Write(out) != nil {
			return
		}
		if answer, err := http.ReadResponse(bufio.NewReader(out), r); err == nil {
			status.Store(int32(answer.StatusCode))
		}
	})
	if _, err := joiner.Call(within(t), host, "", "join", nil); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if heard.Load() != 1 || status.Load() != http.StatusUnauthorized || len(b.asked()) != 0 {
		t.Errorf("%d heard, %d, %d calls handled", heard.Load(), status.Load(), len(b.asked()))
	}
}
