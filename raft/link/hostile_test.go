package link

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// raw makes a signed request of one peer to another, on a connection of its own,
// to be spoilt and sent.
func raw(t *testing.T, from, to *peer, body string) (*line, *http.Request) {
	t.Helper()
	ln, err := from.connect(within(t), address{to.host, to.KeyID()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ln.close)
	r, err := from.request(ln, http.MethodPost, callPath+"greet", []byte(body), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return ln, r
}

// send sends a request and returns the answer's status and body.
func send(t *testing.T, ln *line, r *http.Request) (int, string) {
	t.Helper()
	answer, err := ln.exchange(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, int64(max(answer.ContentLength, 0))))
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(answer.Header.Get("Vera-Receiver"), ln.key+"/") {
		t.Errorf("401 without the receiver's name")
	}
	return answer.StatusCode, string(said)
}

func withBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

func replaceIn(field, from, to string) func(*testing.T, *http.Request) {
	return func(t *testing.T, r *http.Request) {
		before := r.Header.Get(field)
		after := strings.Replace(before, from, to, 1)
		if after == before {
			t.Fatalf("%s is %q, without %q", field, before, from)
		}
		r.Header.Set(field, after)
	}
}

func without(field string) func(*testing.T, *http.Request) {
	return func(_ *testing.T, r *http.Request) { r.Header.Del(field) }
}

func TestSpoiltRequestsAreRefused(t *testing.T) {
	rows := map[string]func(*testing.T, *http.Request){
		"no signature":                without("Signature"),
		"no input":                    without("Signature-Input"),
		"no digest":                   without("Content-Digest"),
		"no cluster":                  without("Vera-Cluster"),
		"no receiver":                 without("Vera-Receiver"),
		"no connection":               without(fieldConnection),
		"no proof":                    without(fieldProof),
		"component taken out":         replaceIn("Signature-Input", `"content-digest" `, ""),
		"another alg":                 replaceIn("Signature-Input", `"ed25519"`, `"hmac-sha256"`),
		"another tag":                 replaceIn("Signature-Input", `"vera"`, `"other"`),
		"another cluster":             func(_ *testing.T, r *http.Request) { r.Header.Set("Vera-Cluster", "b") },
		"another path":                func(_ *testing.T, r *http.Request) { r.URL.Path = callPath + "other" },
		"another method":              func(_ *testing.T, r *http.Request) { r.Method = http.MethodPut },
		"another host":                func(_ *testing.T, r *http.Request) { r.Host = "example.org" },
		"a query":                     func(_ *testing.T, r *http.Request) { r.URL.RawQuery = "x=1" },
		"a field that is not covered": func(_ *testing.T, r *http.Request) { r.Header.Set("X-Odd", "1") },
		"two labels": func(_ *testing.T, r *http.Request) {
			for _, field := range []string{"Signature-Input", "Signature"} {
				_, value, _ := strings.Cut(r.Header.Get(field), "=")
				r.Header.Set(field, r.Header.Get(field)+", other="+value)
			}
		},
		"two of a field": func(_ *testing.T, r *http.Request) { r.Header.Add("Vera-Cluster", "a") },
		"another body":   func(_ *testing.T, r *http.Request) { withBody(r, "hellx") },
		"a longer body":  func(_ *testing.T, r *http.Request) { withBody(r, "hello!") },
		"chunks":         func(_ *testing.T, r *http.Request) { r.ContentLength = -1 },
		"a body with its digest": func(t *testing.T, r *http.Request) {
			withBody(r, "other")
			r.Header.Set("Content-Digest", "sha-256=:"+strings.Repeat("A", 43)+"=:")
		},
	}
	a, b := two(t)
	for name, spoil := range rows {
		t.Run(name, func(t *testing.T) {
			ln, r := raw(t, a, b, "hello")
			spoil(t, r)
			if status, said := send(t, ln, r); status != http.StatusUnauthorized {
				t.Errorf("%d %q, want 401", status, said)
			}
		})
	}
	if n := len(b.asked()); n != 0 {
		t.Fatalf("%d calls were handled", n)
	}
	if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Fatalf("a sound call afterwards: %v", err)
	}
}

func TestEveryByteOfABodyCounts(t *testing.T) {
	a, b := two(t)
	body := "the quick brown fox"
	for i := range len(body) {
		ln, r := raw(t, a, b, body)
		spoilt := []byte(body)
		spoilt[i] ^= 1
		withBody(r, string(spoilt))
		if status, _ := send(t, ln, r); status != http.StatusUnauthorized {
			t.Fatalf("byte %d flipped: %d", i, status)
		}
	}
	if n := len(b.asked()); n != 0 {
		t.Fatalf("%d calls were handled", n)
	}
}

func TestWhoMayCall(t *testing.T) {
	_, b := two(t)
	stranger := newPeer(t, func(o *Options, _ *limits) { o.Secret = nil })
	wrong := newPeer(t, func(o *Options, _ *limits) { o.Secret = secretB })
	removed := newPeer(t, func(o *Options, _ *limits) { o.Secret = nil })
	b.trust(removed)
	if _, err := removed.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Fatal(err)
	}
	b.distrust(removed)
	elsewhere := newPeer(t, func(o *Options, _ *limits) { o.Cluster = func() string { return "b" } })
	b.trust(elsewhere)
	for _, row := range []struct {
		name, reason string
		from         *peer
	}{
		{"unknown key", "not that of a peer", stranger},
		{"wrong secret", "your secret is not that of this cluster", wrong},
		{"removed key", "not that of a peer", removed},
		{"another cluster", "vera-cluster is another", elsewhere},
	} {
		before := len(b.asked())
		row.from.trust(b)
		_, err := row.from.Call(within(t), b.host, b.KeyID(), "greet", []byte("x"))
		if !isStatus(err, http.StatusUnauthorized) || !strings.Contains(err.Error(), row.reason) {
			t.Errorf("%s: %v", row.name, err)
		}
		if c, err := row.from.Dial(within(t), b.host, b.KeyID(), "raft"); !isStatus(err, http.StatusUnauthorized) {
			t.Errorf("%s: a stream %v, %v", row.name, c, err)
		}
		if len(b.asked()) != before || len(b.streams) != 0 {
			t.Errorf("%s: was handled", row.name)
		}
	}
}

func TestAnotherPeersKeyIsNotOnes(t *testing.T) {
	a, b := two(t)
	c := newPeer(t, nil)
	b.trust(c)
	ln, r := raw(t, a, b, "hello")
	if err := c.sender.Sign(r, []byte("hello"), ln.receiver, ""); err != nil { // a member's signature, on another member's connection
		t.Fatal(err)
	}
	if status, said := send(t, ln, r); status != http.StatusUnauthorized || !strings.Contains(said, "another key") {
		t.Errorf("%d %q", status, said)
	}
}

func TestARequestIsForOneConnection(t *testing.T) {
	a, b := two(t)
	_, r := raw(t, a, b, "hello")
	ln, _ := raw(t, a, b, "hello")
	if status, said := send(t, ln, r); status != http.StatusUnauthorized || !strings.Contains(said, "another TLS connection") {
		t.Errorf("%d %q", status, said)
	}
}

func TestReplaysAreRefused(t *testing.T) {
	a, b := two(t)
	c := newPeer(t, nil)
	c.trust(a)
	restarted := newPeer(t, func(o *Options, _ *limits) { o.Key = b.o.Key })
	restarted.trust(a)
	elsewhere := newPeer(t, func(o *Options, _ *limits) { o.Cluster = func() string { return "b" } })
	elsewhere.trust(a)
	ln, r := raw(t, a, b, "hello")
	if status, said := send(t, ln, r); status != http.StatusOK {
		t.Fatalf("%d %q", status, said)
	}
	for _, row := range []struct {
		name string
		to   *peer
		on   *line
	}{{"same connection", b, ln}, {"another connection", b, nil}, {"another peer", c, nil}, {"after a restart", restarted, nil}, {"another cluster", elsewhere, nil}} {
		withBody(r, "hello")
		again, before := r.Clone(t.Context()), len(row.to.asked())
		if row.on == nil {
			row.on, _ = raw(t, a, row.to, "hello")
		}
		if status, said := send(t, row.on, again); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %q", row.name, status, said)
		}
		// The signature stands in its way as well, not only the connection.
		withBody(again, "hello")
		row.on, _ = raw(t, a, row.to, "hello")
		again.Header.Set(fieldConnection, text(row.on.exporter))
		if status, said := send(t, row.on, again); status != http.StatusUnauthorized {
			t.Errorf("%s, rebound: %d %q", row.name, status, said)
		}
		if len(row.to.asked()) != before {
			t.Errorf("%s: was handled", row.name)
		}
	}
}

func TestWhatStrangersSendIsNotAnswered(t *testing.T) {
	_, b := two(t)
	for _, row := range []struct {
		request string
		status  int
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 401},
		{"GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 401},
		{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 401},
		{"GET /metrics HTTP/1.0\r\n\r\n", 401},
		{"POST /vera/call/greet HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n", 401},
		{"POST /vera/call/greet HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nx", 401},
		{"POST /vera/call/greet HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 401},
		{"GET /vera/stream/raft HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: vera-stream\r\n\r\n", 401},
		{"GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 404},
		{"GET /data/foo HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"GET /session HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"GET /vera/peers HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", maxHead) + "\r\n\r\n", 431},
	} {
		for _, c := range []io.ReadWriteCloser{anonymous(t, b), withCertificate(t, b)} {
			_, _ = io.WriteString(c, row.request) // 431 may come before the end
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("%.60q: %v", row.request, err)
			}
			if answer.StatusCode != row.status || !answer.Close {
				t.Errorf("%.60q: %d, closed %v; want %d and closed", row.request, answer.StatusCode, answer.Close, row.status)
			}
			_ = c.Close()
		}
	}
	if len(b.asked()) != 0 || len(b.streams) != 0 {
		t.Error("a handler ran")
	}
}

func TestSignedRequestsToNothing(t *testing.T) {
	a, b := two(t)
	for path, want := range map[string]int{"/none": 404, "/vera/call/": 404, "/vera/call/A": 404, "/vera/stream/": 404, "/vera/call/x": 405, "/vera/stream/x": 426} {
		ln, err := a.connect(within(t), address{b.host, b.KeyID()})
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.request(ln, http.MethodGet, path, nil, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, said := send(t, ln, r); status != want {
			t.Errorf("%s: %d %q, want %d", path, status, said, want)
		}
		ln.close()
	}
}

func TestMembershipIsAskedAgainAfterTheSignature(t *testing.T) {
	for _, secret := range [][]byte{nil, secretA} {
		var looks atomic.Int32
		b := newPeer(t, func(o *Options, _ *limits) {
			o.Trusted = func(string) bool { return looks.Add(1) == 1 } // removed while the signature is verified
		})
		a := newPeer(t, func(o *Options, _ *limits) { o.Secret = secret })
		_, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil)
		if secret == nil {
			if !isStatus(err, http.StatusUnauthorized) || len(b.asked()) != 0 {
				t.Errorf("%v, %d calls handled", err, len(b.asked()))
			}
		} else if err != nil || b.asked()[0].Trusted || !b.asked()[0].Proven {
			t.Errorf("%+v, %v: want it handled as of one who knows the secret", b.asked(), err)
		}
		if looks.Load() != 2 {
			t.Errorf("%d looks at membership, want 2", looks.Load())
		}
	}
}
