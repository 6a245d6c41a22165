package ws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"vera"
)

func TestDrainSendsEverybodyAway(t *testing.T) {
	const n, over = 20, 2 * time.Second
	p := newPeer(t, func(o *Options) { o.Inspector = &inspector{} })
	var clients []*client
	for range n {
		clients = append(clients, p.connect(t, ""))
	}
	poll := dial(t, p.addr)
	_, _ = io.WriteString(poll, p.get("/data/x?wait=30s", `If-None-Match: "0"`))
	stream, _ := p.events(t, "/data/x")
	stream.next()
	kept := dial(t, p.addr)
	_, _ = io.WriteString(kept, p.get("/data/x"))
	readReply(t, bufio.NewReader(kept), "GET")
	until(t, "poll and stream wait", func() bool { return p.server.waiting() == 2 })

	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), over)
	defer cancel()
	gone := make(chan time.Duration, n)
	for _, c := range clients {
		go func() {
			if code := c.closing(); code != gobwas.StatusCode(vera.CloseGoingAway) {
				t.Errorf("closed with %d", code)
			}
			gone <- time.Since(began)
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.server.Drain(ctx)
	}()
	if answer := readReply(t, bufio.NewReader(poll), "GET"); answer.StatusCode != 304 || time.Since(began) > time.Second {
		t.Errorf("the poll: %v after %v", answer, time.Since(began))
	}
	if _, err := io.ReadAll(stream.r); err != nil || time.Since(began) > time.Second {
		t.Errorf("the stream: %v after %v", err, time.Since(began))
	}
	if conn, err := net.Dial("tcp", p.addr); err == nil {
		_ = conn.Close()
		t.Error("a connection is accepted during the drain")
	}
	if ready := ask(t, p.admin, lines("GET /readyz?verbose HTTP/1.1", "Host: "+p.admin)); ready.StatusCode != 503 || !strings.Contains(ready.body, "[-] draining") {
		t.Errorf("%d %s", ready.StatusCode, ready.body)
	}
	for i := range clients {
		if at, due := <-gone, over*9/10*time.Duration(i)/n; at < due-300*time.Millisecond || at > due+time.Second {
			t.Errorf("client %d was sent away at %v, want %v", i, at, due)
		}
	}
	<-done
	for _, how := range p.ended() {
		if how != vera.EndedByServer {
			t.Errorf("ended %d", how)
		}
	}
}

func TestAnUpgradeDuringTheDrainIsRefused(t *testing.T) {
	p := newPeer(t, nil)
	ask(t, p.addr, p.get("/data/x")) // it serves now; one that goes away before would not begin to
	conn := dial(t, p.addr)
	r := bufio.NewReader(conn)
	p.server.goAway()
	_, _ = io.WriteString(conn, p.upgrade(""))
	answer := readReply(t, r, "GET")
	answer.refused(t, 503, vera.Unavailable)
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestWhoLeavesIsNotReadyAndKeepsItsConnections(t *testing.T) {
	p := newPeer(t, func(o *Options) { o.Inspector = &inspector{} })
	c := p.connect(t, "")
	p.server.Leave()
	if ready := ask(t, p.admin, lines("GET /readyz HTTP/1.1", "Host: "+p.admin)); ready.StatusCode != 503 {
		t.Errorf("ready: %d", ready.StatusCode)
	}
	ask(t, p.addr, p.upgrade("")).refused(t, 503, vera.Unavailable)
	c.say(`{"rid":1,"action":"ping"}`)
	c.hear()
	if answer := ask(t, p.addr, p.get("/data/x")); answer.StatusCode != 200 {
		t.Errorf("a read: %d", answer.StatusCode)
	}
}

func TestCloseEndsAll(t *testing.T) {
	p := newPeer(t, nil)
	c := p.connect(t, "")
	poll := dial(t, p.addr)
	_, _ = io.WriteString(poll, p.get("/data/x?wait=30s", `If-None-Match: "0"`))
	stream, _ := p.events(t, "/data/x")
	until(t, "all wait", func() bool { return p.server.waiting() == 2 })
	p.server.Close()
	if e := p.ended(); len(e) != 1 || e[0] != vera.EndedLost {
		t.Errorf("ended %v", e)
	}
	if _, err := gobwas.ReadHeader(c.r); err == nil {
		t.Error("the WebSocket stays")
	}
	_, _ = io.ReadAll(stream.r)
	if conn, err := net.Dial("tcp", p.addr); err == nil {
		_ = conn.Close()
		t.Error("a connection is accepted")
	}
	p.server.Close()
}

func TestNewNamesAllThatIsWrong(t *testing.T) {
	_, err := New(Options{Cluster: "short", Origins: []string{"https://fine.example", "good.example", "https://x/path"}}, newFake(vera.DefaultLimits(10)))
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range []string{"cluster", "cookie key", "limits", `"good.example"`, `"https://x/path"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v: lacks %s", err, word)
		}
	}
	if strings.Contains(err.Error(), "fine.example") {
		t.Error(err)
	}
}

// stranger is a listener that claims to be on another address.
type stranger struct{ net.Listener }

func (stranger) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestAnAdminListenerOffLoopbackNeedsAToken(t *testing.T) {
	p := newPeer(t, func(o *Options) { o.Inspector = &inspector{} })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.server.ServeAdmin(stranger{l}); err == nil || !strings.Contains(err.Error(), "--admin-token-file") {
		t.Errorf("%v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener stays: %v", err)
	}
	guarded := newPeer(t, func(o *Options) { o.Inspector, o.AdminToken = &inspector{}, "geheim" })
	addr := guarded.listen(t, func(l net.Listener) error { return guarded.server.ServeAdmin(stranger{l}) })
	for _, path := range []string{"/", "/livez", "/readyz", "/metrics", "/actors", "/sessions", "/debug/pprof/", "/data/x", "/connect"} {
		for _, header := range []string{"X: y", "Authorization: Bearer", "Authorization: Bearer gehei", "Authorization: Basic geheim"} {
			answer := ask(t, addr, lines("GET "+path+" HTTP/1.1", "Host: vera.example", header))
			answer.refused(t, 401, vera.Forbidden)
			if answer.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Error("no WWW-Authenticate")
			}
		}
	}
	if answer := ask(t, addr, lines("GET /livez HTTP/1.1", "Host: vera.example", "Authorization: Bearer geheim")); answer.StatusCode != 200 {
		t.Errorf("%v", answer)
	}
	if strings.Contains(guarded.logged.String(), "geheim") {
		t.Error("the token was logged")
	}
}
