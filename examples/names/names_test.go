package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"vera/client"
	"vera/examples/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a peer, a way to it that counts, a client that holds records, and a
// server of names.
type world struct {
	t       *testing.T
	peer    *peer.Peer
	client  *client.Client
	server  *server
	cache   *cache
	full    atomic.Int64 // answers that had a list
	nothing atomic.Int64 // answers that said that it did not change
}

func start(t *testing.T, ttl, stale time.Duration) *world {
	t.Helper()
	p, err := peer.Use(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, peer: p}
	target, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	way := httputil.NewSingleHostReverseProxy(target)
	way.ErrorLog = nil
	way.ModifyResponse = func(r *http.Response) error {
		switch r.StatusCode {
		case http.StatusOK:
			w.full.Add(1)
		case http.StatusNotModified:
			w.nothing.Add(1)
		}
		return nil
	}
	front := httptest.NewServer(way)
	t.Cleanup(front.Close)
	if w.client, err = client.Connect(t.Context(), []string{p.URL}, client.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.client.Leave() })
	w.cache = newCache([]string{front.URL}, ttl, stale)
	t.Cleanup(w.cache.web.CloseIdleConnections)
	if w.server, err = listen("127.0.0.1:0", &handler{zone: "test.", ttl: ttl, records: w.cache}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.stop)
	return w
}

func (w *world) push(name string, r record) *client.Handle {
	w.t.Helper()
	h, _, err := w.client.Push(w.t.Context(), pathOf(name), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func (w *world) ask(network, name string, kind uint16, edns bool) *dns.Msg {
	w.t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	if edns {
		q.SetEdns0(1232, false)
	}
	answer, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(q, w.server.address)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// until asks until the answer is what is wanted.
func (w *world) until(name string, kind uint16, what string, wanted func(*dns.Msg) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		answer := w.ask("udp", name, kind, true)
		if wanted(answer) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			w.t.Fatalf("never %s: %v", what, answer)
		}
	}
}

func TestNamesAreThereAsLongAsTheirServices(t *testing.T) {
	w := start(t, 200*time.Millisecond, time.Minute)
	first := w.push("web.shop.test.", record{A: "192.0.2.1", AAAA: "2001:db8::1"})
	w.push("web.shop.test.", record{A: "192.0.2.2", TXT: `a \ and a "` + strings.Repeat("x", 300), SRV: &service{Port: 8080, Target: "web.shop.test", Priority: 1, Weight: 10}})
	for kind, want := range map[uint16][]string{
		dns.TypeA:    {"192.0.2.1", "192.0.2.2"},
		dns.TypeAAAA: {"2001:db8::1"},
		dns.TypeTXT:  {`"a \\ and a \"` + strings.Repeat("x", 244) + `" "` + strings.Repeat("x", 56) + `"`},
		dns.TypeSRV:  {"1 10 8080 web.shop.test."},
		dns.TypeMX:   nil,
	} {
		answer := w.ask("udp", "WEB.shop.test.", kind, false)
		var got []string
		for _, rr := range answer.Answer {
			got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || answer.Rcode != dns.RcodeSuccess || !answer.Authoritative {
			t.Errorf("%s: %q, not %q: %v", dns.TypeToString[kind], got, want, answer)
		}
	}
	if err := first.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until("web.shop.test.", dns.TypeA, "without the first", func(m *dns.Msg) bool { return len(m.Answer) == 1 })
	if err := w.client.Close(); err != nil {
		t.Fatal(err)
	}
	w.until("web.shop.test.", dns.TypeA, "gone", func(m *dns.Msg) bool { return m.Rcode == dns.RcodeNameError && len(m.Ns) == 1 })
}

func TestUnchangedNamesAreNotSentAgain(t *testing.T) {
	w := start(t, 200*time.Millisecond, time.Minute)
	w.push("a.test.", record{A: "192.0.2.1"})
	for range 20 {
		w.ask("udp", "a.test.", dns.TypeA, false)
	}
	asked := w.full.Load() + w.nothing.Load()
	if asked > 10 {
		t.Errorf("20 questions in less than the time to live took %d reads", asked)
	}
	w.until("a.test.", dns.TypeA, "asked for with its etag", func(*dns.Msg) bool { return w.nothing.Load() >= 3 })
	if n := w.full.Load(); n != 1 {
		t.Errorf("a name that did not change was sent %d times", n)
	}
}

func TestStaleNamesAreToldForABoundedTime(t *testing.T) {
	w := start(t, 3*time.Second, 2*time.Second)
	w.push("a.test.", record{A: "192.0.2.1"})
	if m := w.ask("udp", "a.test.", dns.TypeA, true); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != 3 || len(m.IsEdns0().Option) != 0 {
		t.Fatalf("not as it should be while a peer answers: %v", m)
	}
	w.peer.Kill()
	w.until("a.test.", dns.TypeA, "stale", func(m *dns.Msg) bool {
		edns := m.IsEdns0()
		return len(m.Answer) == 1 && m.Answer[0].Header().Ttl == staleTTL && len(edns.Option) == 1 && edns.Option[0].(*dns.EDNS0_EDE).InfoCode == dns.ExtendedErrorCodeStaleAnswer
	})
	w.until("a.test.", dns.TypeA, "given up", func(m *dns.Msg) bool { return m.Rcode == dns.RcodeServerFailure && len(m.Answer) == 0 })
	if m := w.ask("udp", "never.asked.for.test.", dns.TypeA, true); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("of a name that nobody can know: %v", m)
	}
}

func TestLargeAnswersGoOverTCP(t *testing.T) {
	w := start(t, 5*time.Second, time.Minute)
	for n := range 60 {
		w.push("many.test.", record{A: fmt.Sprintf("192.0.2.%d", n)})
	}
	if m := w.ask("udp", "many.test.", dns.TypeA, false); !m.Truncated || len(m.Answer) == 0 || len(m.Answer) == 60 {
		t.Errorf("over UDP: %d records, truncated %v", len(m.Answer), m.Truncated)
	}
	if m := w.ask("tcp", "many.test.", dns.TypeA, false); m.Truncated || len(m.Answer) != 60 {
		t.Errorf("over TCP: %d records, truncated %v", len(m.Answer), m.Truncated)
	}
}

func TestQuestionsThatAreNotForThisServer(t *testing.T) {
	h := &handler{zone: "test.", ttl: time.Second, records: newCache([]string{"127.0.0.1:1"}, time.Second, time.Second)}
	s, err := listen("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	w := &world{t: t, server: s}
	for name, want := range map[string]int{
		"example.com.":                     dns.RcodeRefused,
		"attest.":                          dns.RcodeRefused,
		"test.":                            dns.RcodeServerFailure, // of the zone's own list
		`a\047b.test.`:                     dns.RcodeNameError,
		`a\.b.test.`:                       dns.RcodeNameError,
		strings.Repeat("a.", 40) + "test.": dns.RcodeNameError,
		strings.Repeat("a.", 30) + "test.": dns.RcodeServerFailure,
	} {
		if m := w.ask("udp", name, dns.TypeA, false); m.Rcode != want {
			t.Errorf("%s: %s, not %s", name, dns.RcodeToString[m.Rcode], dns.RcodeToString[want])
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache(nil, time.Second, time.Second)
	for n := range keptMost + 100 {
		c.entry(fmt.Sprint("/data/dns/test/", n))
	}
	if len(c.kept) != keptMost {
		t.Errorf("%d names are kept, at most %d", len(c.kept), keptMost)
	}
}
