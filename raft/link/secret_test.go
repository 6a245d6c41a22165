package link

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestTheSecretOpensCallsOnly(t *testing.T) {
	b := newPeer(t, nil)
	for _, cluster := range []string{"", "a"} {
		joiner := newPeer(t, func(o *Options, _ *limits) { o.Cluster = func() string { return cluster } })
		for _, key := range []string{"", b.KeyID()} {
			answer, err := joiner.Call(within(t), b.host, key, "join", []byte("me"))
			if err != nil || string(answer) != "join me" {
				t.Fatalf("cluster %q, key %q: %q, %v", cluster, key, answer, err)
			}
		}
		for _, from := range b.asked() {
			if from.Trusted || !from.Proven {
				t.Errorf("called by %+v", from)
			}
		}
		joiner.trust(b)
		if _, err := joiner.Dial(within(t), b.host, b.KeyID(), "raft"); !isStatus(err, http.StatusUnauthorized) {
			t.Errorf("a stream of one who is no member: %v", err)
		}
		eventually(t, "the guest's connections are closed", func() bool { return b.count(true) == 0 })
	}
}

func TestWithoutAClusterTheSecretIsAsked(t *testing.T) {
	b := newPeer(t, nil)
	joiner := newPeer(t, func(o *Options, _ *limits) { o.Secret, o.Cluster = nil, func() string { return "" } })
	b.trust(joiner)
	if _, err := joiner.Call(within(t), b.host, b.KeyID(), "join", nil); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("%v", err)
	}
	if _, err := joiner.Call(within(t), b.host, "", "join", nil); err == nil || !strings.Contains(err.Error(), "secret") {
		t.Errorf("neither key nor secret: %v", err)
	}
}

// impostor answers every request with 200 and a proof of its own making.
func impostor(t *testing.T, proof func(r *http.Request) string) string {
	t.Helper()
	own, err := certify(newKey(t), "")
	if err != nil {
		t.Fatal(err)
	}
	return impersonate(t, own, proof)
}

func impersonate(t *testing.T, own tls.Certificate, proof func(r *http.Request) string) string {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(own))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(fieldProof, proof(r))
		fmt.Fprint(w, "trust me")
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

// named makes a certificate that names its holder as peers do.
func named(t *testing.T) (tls.Certificate, string) {
	p := newPeer(t, nil)
	return p.own, p.KeyID()
}

func TestWhoDoesNotProveTheSecretIsNotBelieved(t *testing.T) {
	a := newPeer(t, nil)
	for name, proof := range map[string]func(*http.Request) string{
		"none":         func(*http.Request) string { return "" },
		"ours back":    func(r *http.Request) string { return r.Header.Get(fieldProof) },
		"wrong secret": func(r *http.Request) string { e, _ := exporter(*r.TLS); return prove(secretB, answering, e, "x") },
	} {
		own, _ := named(t)
		answer, err := a.Call(within(t), impersonate(t, own, proof), "", "join", nil)
		if !errors.Is(err, errUnproven) || answer != nil {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	own, key := named(t)
	if _, err := a.Call(within(t), impersonate(t, own, func(*http.Request) string { return "" }), key, "join", nil); !errors.Is(err, errUnproven) {
		t.Errorf("a key that is no member's: %v", err)
	}
	if _, err := a.Call(within(t), impostor(t, func(*http.Request) string { return "" }), "", "join", nil); err == nil {
		t.Error("a certificate that names nobody was taken")
	}
}

func TestAnotherKeyIsHungUpOn(t *testing.T) {
	a, b := two(t)
	var requests atomic.Int32
	own, _ := named(t)
	host := impersonate(t, own, func(*http.Request) string { requests.Add(1); return "" })
	if _, err := a.Call(within(t), host, b.KeyID(), "greet", nil); err == nil || !strings.Contains(err.Error(), "its key is") {
		t.Errorf("%v", err)
	}
	if c, err := a.Dial(within(t), host, b.KeyID(), "raft"); err == nil {
		t.Errorf("dialled %v", c)
	}
	if requests.Load() != 0 {
		t.Error("a request was sent")
	}
}

// between sits between two peers with a TLS connection to each, and passes on
// what it hears, word for word. It returns its address.
func between(t *testing.T, own tls.Certificate, to *peer, passed *atomic.Int32) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS(own))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			passed.Add(1)
			relay(in, own, to)
		}
	}()
	return listener.Addr().String()
}

// relay passes one request and its answer on.
func relay(in net.Conn, own tls.Certificate, to *peer) {
	defer in.Close()
	r, err := http.ReadRequest(bufio.NewReader(in))
	if err != nil {
		return
	}
	out, err := tls.Dial("tcp", to.host, clientTLS(own, ""))
	if err != nil {
		return
	}
	defer out.Close()
	if r.Write(out) != nil {
		return
	}
	answer, err := http.ReadResponse(bufio.NewReader(out), r)
	if err != nil {
		return
	}
	if answer.StatusCode == http.StatusUnauthorized {
		answer.StatusCode = http.StatusOK // it would like to be believed
	}
	_ = answer.Write(in)
}

func TestNobodySitsInBetween(t *testing.T) {
	b := newPeer(t, nil)
	joiner := newPeer(t, nil)
	thief := newPeer(t, func(o *Options, _ *limits) { o.Secret = secretB })
	for _, trusted := range []bool{false, true} { // a member may be the thief, too
		if trusted {
			b.trust(thief)
		}
		var passed atomic.Int32
		host := between(t, thief.own, b, &passed)
		answer, err := joiner.Call(within(t), host, "", "join", []byte("cookie, please"))
		if !errors.Is(err, errUnproven) || answer != nil {
			t.Errorf("thief trusted %v: %q, %v", trusted, answer, err)
		}
		if c, err := joiner.Dial(within(t), host, "", "raft"); !errors.Is(err, errNoMember) {
			t.Errorf("thief trusted %v: dialled %v", trusted, c)
		}
		if passed.Load() < 2 {
			t.Error("it did not sit in between")
		}
	}
	if len(b.asked()) != 0 || len(b.streams) != 0 {
		t.Error("what it passed on was handled")
	}
}

func TestAProofIsForOneConnectionOneKeyAndOneSide(t *testing.T) {
	here, there := bytes.Repeat([]byte("1"), 32), bytes.Repeat([]byte("2"), 32)
	proof := prove(secretA, asking, here, "k")
	if !proves(proof, secretA, asking, here, "k") {
		t.Fatal("it proves nothing")
	}
	if proves(proof, secretA, asking, there, "k") || proves(proof, secretA, answering, here, "k") ||
		proves(proof, secretA, asking, here, "l") || proves(proof, secretB, asking, here, "k") ||
		proves("", secretA, asking, here, "k") || proves(prove(nil, asking, here, "k"), nil, asking, here, "k") {
		t.Error("it proves more")
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	_, err := New(Options{Key: newKey(t), Secret: []byte("hunter2")})
	if err == nil || !strings.Contains(err.Error(), "16 at least") {
		t.Errorf("%v", err)
	}
}
