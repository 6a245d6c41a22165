package link

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// hostility is what a stranger does with a TCP connection to a peer. It returns
// when it is hung up on, or has had enough.
var hostility = map[string]func(c net.Conn){
	"silence":   func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
	"plain":     func(c net.Conn) { shout(c, "GET /vera/call/join HTTP/1.1\r\nHost: x\r\n\r\n") },
	"half":      func(c net.Conn) { shout(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") },
	"record":    func(c net.Conn) { shout(c, "\x17\x03\x03\xff\xff"+strings.Repeat("x", 70_000)) },
	"zeroes":    func(c net.Conn) { shout(c, strings.Repeat("\x00", 100_000)) },
	"websocket": func(c net.Conn) { shout(c, "\x81\x85abcd12345") },
	"hello":     func(c net.Conn) { greet(c, ""); _, _ = c.Read(make([]byte, 1)) },
	"unsigned":  func(c net.Conn) { greet(c, "GET /vera/peers/../call/x HTTP/1.1\r\nHost: x\r\n\r\n") },
	"endless":   func(c net.Conn) { greet(c, "POST / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20)) },
	"body": func(c net.Conn) {
		greet(c, "POST /vera/call/x HTTP/1.1\r\nHost: x\r\nSignature: a\r\nContent-Length: 99999999\r\n\r\n"+strings.Repeat("x", 1<<20))
	},
	"guess": func(c net.Conn) {
		greet(c, "POST /vera/call/x HTTP/1.1\r\nHost: x\r\nSignature: a\r\nVera-Proof: guess\r\nContent-Length: 0\r\n\r\n")
	},
}

func shout(c net.Conn, what string) {
	_, _ = io.WriteString(c, what)
	_, _ = io.Copy(io.Discard, c)
}

// greet makes a TLS connection with a certificate, and shouts.
func greet(c net.Conn, what string) {
	own, err := certify(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "x")
	if err != nil {
		return
	}
	conn := tls.Client(c, clientTLS(own, ""))
	if conn.Handshake() == nil && what != "" {
		shout(conn, what)
	}
}

// Hundreds of strangers of every kind: the calls of a member go on meanwhile,
// little is logged, and afterwards everything is as it was.
func TestAttackByManyStrangers(t *testing.T) {
	lines := &loud{}
	b := newPeer(t, func(o *Options, l *limits) {
		l.head, l.stranger = 300*time.Millisecond, 500*time.Millisecond
		o.Logger = zerolog.New(lines).Level(zerolog.InfoLevel)
	})
	a := newPeer(t, nil)
	a.trust(b)
	b.trust(a)
	if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	crowd := make(chan struct{}, 50)
	for range 30 {
		for _, act := range hostility {
			crowd <- struct{}{}
			all.Go(func() {
				defer func() { <-crowd }()
				c, err := net.Dial("tcp", b.host)
				if err != nil {
					return
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				act(c)
			})
		}
		began := time.Now()
		if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil || time.Since(began) > 2*time.Second {
			t.Fatalf("a member's call meanwhile: %v, after %v", err, time.Since(began))
		}
	}
	all.Wait()
	eventually(t, "only the member's connection is left", func() bool { return b.count(true) == 1 })
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before+2 })
	if n := len(b.asked()); n != 31 || len(b.streams) != 0 {
		t.Errorf("%d calls were handled, the member made 31", n)
	}
	if n := lines.count(); n > 10 {
		t.Errorf("%d lines of log", n)
	}
}

// loud counts lines.
type loud struct {
	mu    sync.Mutex
	lines int
}

func (l *loud) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func (l *loud) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

// Close has no connection's goroutine left when it returns, whatever the
// connections are about just then.
func TestAttackConnectionsEndWithClose(t *testing.T) {
	b := newPeer(t, nil)
	for name, start := range map[string]func(c net.Conn){
		"silent":         func(net.Conn) {},
		"half a hello":   func(c net.Conn) { _, _ = io.WriteString(c, "\x16\x03\x01\x02\x00\x01") },
		"half a request": func(c net.Conn) { greetAsync(c, "GET / HTTP/1.1\r\nHo") },
	} {
		for range 10 {
			c, err := net.Dial("tcp", b.host)
			if err != nil {
				t.Fatal(name, err)
			}
			defer c.Close()
			start(c)
		}
	}
	eventually(t, "all are there", func() bool { return b.count(true) == 30 })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for one := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if bytes.Contains(one, []byte("net/http.(*conn).serve(")) && bytes.Contains(one, []byte("crypto/tls.")) {
			t.Errorf("at work after Close: %s", one)
		}
	}
}

func greetAsync(c net.Conn, what string) {
	conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if conn.Handshake() == nil {
		_, _ = fmt.Fprint(conn, what)
	}
}
