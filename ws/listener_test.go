package ws

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// endsSilently checks that the peer closes a connection without an answer, and
// returns when.
func endsSilently(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	answer, err := io.ReadAll(conn)
	if len(answer) > 0 {
		t.Errorf("an answer: %q, %v", answer, err)
	}
	return time.Since(began)
}

func TestADrippedHeadIsClosedInTime(t *testing.T) {
	p := newPeer(t, func(o *Options) { o.Limits.HeadFor = 400 * time.Millisecond })
	for name, before := range map[string]string{"nothing at all": "", "first head": "", "only line ends": "", "second head": p.get("/data/x")} {
		t.Run(name, func(t *testing.T) {
			p.unharmed(t)
			conn := dial(t, p.addr)
			if before != "" {
				_, _ = io.WriteString(conn, before)
				readReply(t, bufio.NewReaderSize(conn, 16), before)
			}
			drip := p.get("/data/x")
			if name == "only line ends" {
				drip = strings.Repeat("\r\n", 50)
			}
			stop := make(chan struct{})
			go func() {
				ticker := time.NewTicker(20 * time.Millisecond)
				defer ticker.Stop()
				for i := 0; name != "nothing at all"; i = (i + 1) % (len(drip) - 4) {
					select {
					case <-stop:
						return
					case <-ticker.C:
						_, _ = io.WriteString(conn, drip[i:i+1])
					}
				}
			}()
			if took := endsSilently(t, conn); took < 300*time.Millisecond || took > waitFor/2 {
				t.Errorf("closed after %v", took)
			}
			close(stop)
		})
	}
}

// certificate makes one that signs itself.
func certificate(t testing.TB) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func withTLS(t testing.TB) func(o *Options) {
	c := certificate(t)
	return func(o *Options) {
		o.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c, nil }
		o.Limits.HeadFor = 400 * time.Millisecond
	}
}

func TestTLSOnThePlainPortAndTheReverse(t *testing.T) {
	plain, secure := newPeer(t, nil), newPeer(t, withTLS(t))
	plain.unharmed(t)
	conn := dial(t, plain.addr)
	_, _ = conn.Write(tlsHello(t))
	endsSilently(t, conn)
	for name, send := range map[string]string{"a request": secure.get("/data/x"), "nothing": "", "half a record": string(tlsHello(t)[:50]), "rubbish": "\x16\x03\x01\xff\xff" + strings.Repeat("x", 70_000)} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, secure.addr)
			_, _ = io.WriteString(conn, send)
			if answer, _ := io.ReadAll(conn); strings.HasPrefix(string(answer), "HTTP") {
				t.Errorf("%q", answer)
			}
		})
	}
	until(t, "all are gone", func() bool {
		secure.server.crowd.mu.Lock()
		defer secure.server.crowd.mu.Unlock()
		return secure.server.crowd.total == 0
	})
}

func TestWebSocketsOverTLS(t *testing.T) {
	p := newPeer(t, withTLS(t))
	conn := tls.Client(dial(t, p.addr), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	c := p.over(t, conn, p.upgrade("", "Origin: https://"+p.addr))
	if conn.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Error("not HTTP/1.1")
	}
	set := c.Header.Get("Set-Cookie")
	if !strings.HasPrefix(set, "__Host-vera-abcdefgh=") || !strings.Contains(set, "; Secure") {
		t.Errorf("cookie %q", set)
	}
	c.say(`{"rid":1,"action":"get","path":"/data/x"}`)
	if answer := c.hear(); !strings.Contains(answer, `"items":[]`) {
		t.Error(answer)
	}
	again := tls.Client(dial(t, p.addr), &tls.Config{InsecureSkipVerify: true})
	p.over(t, again, p.upgrade("", "Cookie: "+strings.Split(set, ";")[0]))
	if h := p.lastHello(); !h.Offered {
		t.Errorf("%+v", h)
	}
	_, _ = c.Write(frameOf(gobwas.OpClose, "\x03\xe8"))
	if code := c.closing(); code != 1000 {
		t.Errorf("closed with %d", code)
	}
	plainPage := tls.Client(dial(t, p.addr), &tls.Config{InsecureSkipVerify: true})
	_, _ = io.WriteString(plainPage, p.upgrade("", "Origin: http://"+p.addr))
	readReply(t, bufio.NewReader(plainPage), "GET").refused(t, 403, vera.Forbidden)
}

func TestBytesBehindTheHeadAreTheFirstFrames(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	for _, n := range []int{1, 2, 300} {
		frames := ""
		for i := range n {
			frames += string(frameOf(gobwas.OpText, fmt.Sprintf(`{"rid":%d,"action":"ping","x":%q}`, i, strings.Repeat("x", 200))))
		}
		c := p.over(t, dial(t, p.addr), p.upgrade("?graceMs=0")+frames)
		for i := range n {
			if answer := c.hear(); !strings.HasPrefix(answer, fmt.Sprintf(`{"rid":%d,"code":"OK"`, i)) {
				t.Fatalf("message %d of %d: %s", i, n, answer)
			}
		}
		_ = c.Close()
	}
}

func TestForwardedAddressesCountOnlyFromTrustedProxies(t *testing.T) {
	long := strings.Repeat("9.9.9.9,", 10_000)[:15_000] + "8.8.8.8"
	for name, test := range map[string]struct {
		proxies []string
		header  []string
		owner   string
	}{
		"untrusted":              {nil, []string{"X-Forwarded-For: 1.2.3.4"}, "127.0.0.1"},
		"trusted":                {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: 1.2.3.4"}, "1.2.3.4"},
		"no header":              {[]string{"127.0.0.0/8"}, nil, "127.0.0.1"},
		"forged, then true":      {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4"}, "1.2.3.4"},
		"two proxies":            {[]string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1"}, "1.2.3.4"},
		"two headers":            {[]string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 10.1.1.1"}, "1.2.3.4"},
		"all trusted":            {[]string{"0.0.0.0/0"}, []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4"}, "6.6.6.6"},
		"rubbish":                {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: 1.2.3.4, <script>"}, "127.0.0.1"},
		"empty":                  {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: ,,"}, "127.0.0.1"},
		"with a port":            {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: [2001:db8::1]:443"}, "2001:db8::1"},
		"IPv4 in IPv6":           {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: ::ffff:1.2.3.4"}, "1.2.3.4"},
		"thousands of addresses": {[]string{"127.0.0.0/8"}, []string{"X-Forwarded-For: " + long}, "8.8.8.8"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(o *Options) {
				for _, proxy := range test.proxies {
					o.Proxies = append(o.Proxies, netip.MustParsePrefix(proxy))
				}
			})
			p.connect(t, "", test.header...)
			if owner := p.lastHello().Owner; owner != test.owner {
				t.Errorf("owner %s, want %s", owner, test.owner)
			}
		})
	}
}

func TestPROXYHeadersCountOnlyFromTrustedProxies(t *testing.T) {
	const header = "PROXY TCP4 1.2.3.4 127.0.0.1 1 2\r\n"
	trusting := newPeer(t, func(o *Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	trusting.unharmed(t)
	for _, send := range []string{header, "", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x7f\x00\x00\x01\x00\x01\x00\x02"} {
		c := trusting.over(t, dial(t, trusting.addr), send+trusting.upgrade("?graceMs=0")+string(frameOf(gobwas.OpText, `{"rid":1,"action":"ping"}`)))
		want := "1.2.3.4"
		if send == "" {
			want = "127.0.0.1"
		}
		if owner := trusting.lastHello().Owner; owner != want {
			t.Errorf("owner %s, want %s", owner, want)
		}
		c.hear()
		_ = c.Close()
	}
	wrong := dial(t, trusting.addr)
	_, _ = io.WriteString(wrong, "PROXY TCP4 nonsense\r\n"+trusting.get("/data/x"))
	endsSilently(t, wrong)
	plain := newPeer(t, nil)
	ask(t, plain.addr, header+plain.get("/data/x")).refused(t, 400, vera.InvalidParameter)
}

func TestMoreConnectionsThanAllowed(t *testing.T) {
	p := newPeer(t, func(o *Options) { o.Limits.Connections = 5 })
	p.unharmed(t)
	var open []*client
	for range 5 {
		open = append(open, p.connect(t, "?graceMs=0"))
	}
	for _, send := range []string{p.upgrade(""), p.get("/data/x")} {
		answer := ask(t, p.addr, send)
		answer.refused(t, 503, vera.Unavailable, "5")
		if answer.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	var flood []net.Conn
	for range 5 + spare {
		flood = append(flood, dial(t, p.addr))
	}
	until(t, "the flood is bounded", func() bool { return p.server.crowd.overflows() })
	endsSilently(t, dial(t, p.addr))
	for _, conn := range flood {
		_ = conn.Close()
	}
	open[0].say(`{"rid":1,"action":"ping"}`)
	open[0].hear()
	for _, c := range open {
		_ = c.Close()
	}
}

func TestMoreConnectionsOfOneAddressThanAllowed(t *testing.T) {
	p := newPeer(t, func(o *Options) {
		o.Limits.AddressConnections = 2
		o.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	})
	p.unharmed(t)
	own := []*client{p.connect(t, "?graceMs=0"), p.connect(t, "?graceMs=0")}
	answer := ask(t, p.addr, p.upgrade(""))
	answer.refused(t, 429, vera.TooManyRequests, "127.0.0.1", "2")
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	through := func(forwarded string) (net.Conn, string) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		conn, err := dialer.DialContext(context.Background(), "tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn, p.upgrade("?graceMs=0", "X-Forwarded-For: "+forwarded)
	}
	for _, forwarded := range []string{"1.1.1.1", "1.1.1.1", "2.2.2.2", "3.3.3.3"} {
		conn, head := through(forwarded)
		own = append(own, p.over(t, conn, head))
	}
	conn, head := through("1.1.1.1")
	_, _ = io.WriteString(conn, head)
	readReply(t, bufio.NewReader(conn), head).refused(t, 429, vera.TooManyRequests, "1.1.1.1")
	_ = conn.Close()
	for _, c := range own {
		_ = c.Close()
	}
	until(t, "nobody is counted any more", func() bool {
		p.server.crowd.mu.Lock()
		defer p.server.crowd.mu.Unlock()
		return len(p.server.crowd.by) == 0
	})
}

func TestARefusalOfTheServiceIsToldBeforeTheUpgrade(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	for _, refusal := range []*vera.Error{
		{Code: vera.Unavailable, Message: "no leader", Applied: vera.AppliedNo},
		{Code: vera.TooManyRequests, Message: "the session has its 100 connections"},
	} {
		p.refusal = refusal
		answer := ask(t, p.addr, p.upgrade(""))
		answer.refused(t, refusal.Code.Status(), refusal.Code, refusal.Message)
		if answer.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	p.refusal = io.ErrUnexpectedEOF
	ask(t, p.addr, p.upgrade("")).refused(t, 500, vera.InternalError)
	if logged := p.logged.String(); !strings.Contains(logged, "unexpected EOF") {
		t.Errorf("not logged: %s", logged)
	}
}

// exhausted is a listener that has no descriptors left for a while.
type exhausted struct {
	net.Listener
	fails atomic.Int32
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.fails.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestDescriptorsThatRanOutAreWaitedFor(t *testing.T) {
	p := newPeer(t, nil)
	addr := p.listen(t, func(l net.Listener) error {
		without := &exhausted{Listener: l}
		without.fails.Store(3)
		return p.server.Serve(without)
	})
	if answer := ask(t, addr, p.get("/data/x")); answer.StatusCode != 200 {
		t.Error(answer)
	}
}
