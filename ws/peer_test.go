package ws

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vera"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitFor bounds what a test waits for.
const waitFor = 10 * time.Second

// key is the cookie key of the tests' cluster.
const key = "0123456789abcdef0123456789abcdef"

// peer is a server in this process with a fake behind it.
type peer struct {
	*fake
	server *Server
	addr   string // of the client listener
	admin  string // of the admin listener; "" when there is none
	logged *buffer
}

// buffer collects what is logged.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// options are what the tests start from.
func options(logged io.Writer) Options {
	return Options{Limits: vera.DefaultLimits(2000), Cluster: "abcdefgh0123", CookieKey: []byte(key), Logger: zerolog.New(logged)}
}

// newPeer starts a peer that ends with the test.
func newPeer(t testing.TB, change func(o *Options)) *peer {
	t.Helper()
	p := &peer{logged: &buffer{}}
	o := options(p.logged)
	if change != nil {
		change(&o)
	}
	p.fake = newFake(o.Limits)
	var err error
	if p.server, err = New(o, p.fake); err != nil {
		t.Fatal(err)
	}
	p.addr = p.listen(t, p.server.Serve)
	if o.Inspector != nil {
		p.admin = p.listen(t, p.server.ServeAdmin)
	}
	t.Cleanup(p.server.Close)
	return p
}

func (p *peer) listen(t testing.TB, serve func(net.Listener) error) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	t.Cleanup(func() {
		p.server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// reply is an answer of HTTP, read whole.
type reply struct {
	*http.Response
	body   string
	closed bool // the connection was closed behind it
}

// dial opens a connection that ends with the test.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(waitFor)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// lines joins lines to a head.
func lines(all ...string) string { return strings.Join(all, "\r\n") + "\r\n\r\n" }

// get is the head of a GET.
func (p *peer) get(target string, more ...string) string {
	return lines(append([]string{"GET " + target + " HTTP/1.1", "Host: " + p.addr}, more...)...)
}

// upgrade is the head of a handshake.
func (p *peer) upgrade(query string, more ...string) string {
	return p.get("/connect"+query, append([]string{"Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, more...)...)
}

// ask sends bytes and reads one answer.
func ask(t testing.TB, addr, send string) reply {
	t.Helper()
	conn := dial(t, addr)
	defer func() { _ = conn.Close() }()
	go func() { _, _ = conn.Write([]byte(send)) }()
	r := bufio.NewReader(conn)
	answer := readReply(t, r, send)
	if answer.StatusCode != 101 && answer.Close {
		_, err := r.ReadByte()
		answer.closed = err != nil
	}
	return answer
}

func readReply(t testing.TB, r *bufio.Reader, send string) reply {
	t.Helper()
	method, _, _ := strings.Cut(send, " ")
	response, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.200q: %v", send, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{Response: response, body: string(body)}
}

// refused checks that an answer is an error, told as JSON.
func (r reply) refused(t testing.TB, status int, code vera.Code, words ...string) {
	t.Helper()
	if r.StatusCode != status || !strings.HasPrefix(r.body, fmt.Sprintf(`{"code":%q,"message":"`, code)) {
		t.Errorf("%d %s, want %d %s", r.StatusCode, r.body, status, code)
	}
	for _, word := range words {
		if !strings.Contains(r.body, word) {
			t.Errorf("%s does not say %q", r.body, word)
		}
	}
	if cookies := r.Header.Values("Set-Cookie"); len(cookies) > 0 {
		t.Errorf("a refusal sets cookies: %q", cookies)
	}
}

// client is a WebSocket of the tests.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
	reply
}

// connect opens a WebSocket.
func (p *peer) connect(t testing.TB, query string, more ...string) *client {
	t.Helper()
	return p.over(t, dial(t, p.addr), p.upgrade(query, more...))
}

// over makes a WebSocket of a connection.
func (p *peer) over(t testing.TB, conn net.Conn, send string) *client {
	t.Helper()
	if _, err := conn.Write([]byte(send)); err != nil {
		t.Fatal(err)
	}
	c := &client{Conn: conn, t: t, r: bufio.NewReader(conn)}
	response, err := http.ReadResponse(c.r, nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("no upgrade: %v %v", response, err)
	}
	c.reply = reply{Response: response}
	return c
}

// say sends text messages in one write.
func (c *client) say(messages ...string) {
	c.t.Helper()
	var all []byte
	for _, m := range messages {
		all = append(all, frameOf(gobwas.OpText, m)...)
	}
	if _, err := c.Write(all); err != nil {
		c.t.Fatal(err)
	}
}

// frameOf is a client's frame.
func frameOf(op gobwas.OpCode, payload string) []byte {
	return gobwas.MustCompileFrame(gobwas.MaskFrame(gobwas.NewFrame(op, true, []byte(payload))))
}

// hear reads the next text message.
func (c *client) hear() string {
	c.t.Helper()
	h, payload := c.frame()
	if h.OpCode != gobwas.OpText {
		c.t.Fatalf("opcode %x %q", h.OpCode, payload)
	}
	return payload
}

func (c *client) frame() (gobwas.Header, string) {
	c.t.Helper()
	h, err := gobwas.ReadHeader(c.r)
	if err != nil {
		c.t.Fatal(err)
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(c.r, payload); err != nil {
		c.t.Fatal(err)
	}
	return h, string(payload)
}

// closed reads up to the Close frame and the end, and returns the code.
func (c *client) closing() gobwas.StatusCode {
	c.t.Helper()
	for {
		h, payload := c.frame()
		if h.OpCode != gobwas.OpClose {
			continue
		}
		_, _ = c.Write(frameOf(gobwas.OpClose, ""))
		if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
			c.t.Fatalf("behind the Close frame %q, %v", rest, err)
		}
		code, _ := gobwas.ParseCloseFrameData([]byte(payload))
		return code
	}
}

// until asks again and again until it holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(waitFor); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// unharmed checks, when the test ends, that the peer lives and that no
// goroutine and no connection was left behind.
func (p *peer) unharmed(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		until(t, "the peer serves", func() bool {
			return ask(t, p.addr, p.get("/data/alive", "Connection: close")).StatusCode == 200
		})
		until(t, "goroutines and connections are back", func() bool {
			p.server.crowd.mu.Lock()
			defer p.server.crowd.mu.Unlock()
			return runtime.NumGoroutine() <= before && p.server.crowd.total == 0 && p.server.sockets.Len() == 0
		})
	})
}

// hello is the first record of a TLS handshake.
func tlsHello(t *testing.T) []byte {
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	go func() { _ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	record := make([]byte, 4096)
	n, err := ours.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	return record[:n]
}
