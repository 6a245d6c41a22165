package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"vera"

	"github.com/coder/websocket"
)

func TestOptionsReachTheHandshake(t *testing.T) {
	queries := make(chan string, 4)
	url := pretend(t, func(t *testing.T, s *stage) {
		queries <- s.request.URL.RawQuery + " " + s.request.Header.Get("Origin") + " " + s.request.Header.Get("Cookie")
		s.linger()
	})
	c := dial(t, url, Options{})
	if got := <-queries; got != "  " {
		t.Errorf("the zero Options said %q", got)
	}
	if c.Cookie() != "vera-12345678=made.here" {
		t.Errorf("cookie %q", c.Cookie())
	}
	again := dial(t, strings.Replace(url, "http", "ws", 1), Options{
		Cookie: c.Cookie(), Label: "tab-1", Grace: NoGrace, Heartbeat: 300 * time.Millisecond, Local: true, Quiet: true,
		Header: http.Header{"Origin": {url}},
	})
	want := "client=tab-1&graceMs=0&heartbeatMs=300&local=true&notify=false " + url + " vera-12345678=made.here"
	if got := <-queries; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	if again.Cookie() != c.Cookie() {
		t.Errorf("the cookie became %q", again.Cookie())
	}
}

func TestJarKeepsTheCookie(t *testing.T) {
	cookies := make(chan string, 2)
	url := pretend(t, func(t *testing.T, s *stage) {
		cookies <- s.request.Header.Get("Cookie")
		s.linger()
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{HTTP: &http.Client{Jar: jar, Transport: &http.Transport{}}}
	first := dial(t, url, o)
	if sent := <-cookies; sent != "" {
		t.Errorf("first sent %q", sent)
	}
	second := dial(t, url, o)
	if sent := <-cookies; sent != "vera-12345678=made.here" {
		t.Errorf("then sent %q", sent)
	}
	if first.Cookie() != second.Cookie() {
		t.Errorf("cookies %q and %q", first.Cookie(), second.Cookie())
	}
}

func TestRefusedHandshakeTellsStatusAndReason(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"code":"TooManyRequests","message":"connections: 10 at most"}`)
	}))
	defer server.Close()
	_, err := Dial(t.Context(), server.URL, Options{})
	refused, is := errors.AsType[*Refused](err)
	if !is || refused.Status != 429 || refused.Header.Get("Retry-After") != "3" {
		t.Fatalf("got %v", err)
	}
	if reason, is := errors.AsType[*vera.Error](err); !is || reason.Code != vera.TooManyRequests {
		t.Errorf("got %v", err)
	}
	for _, url := range []string{"ftp://localhost", "http://", "%"} {
		if _, err := Dial(t.Context(), url, Options{}); err == nil {
			t.Errorf("%q was dialled", url)
		}
	}
}

func TestAnswersMayOvertake(t *testing.T) {
	url := pretend(t, func(t *testing.T, s *stage) {
		var requests []asked
		for range 3 {
			a, _ := s.next()
			requests = append(requests, a)
		}
		slices.Reverse(requests)
		for _, a := range requests {
			s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","index":9,"etag":"9","version":%d,"items":[]}`, a.RID, *a.Limit))
		}
		s.linger()
	})
	c := dial(t, url, Options{})
	var pending []*Pending
	for n := range 3 {
		p, err := c.StartPush(t.Context(), "/data/a", map[string]int{"n": n}, Limit(n))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	for n, p := range pending {
		l, err := p.Listing(t.Context())
		if err != nil || l.Version != uint64(n) {
			t.Errorf("push %d was answered %+v, %v", n, l, err)
		}
	}
}

func TestRefusalsAreErrors(t *testing.T) {
	answers := []string{
		`"code":"PreconditionFailed","message":"ifMatch: the etag is 7","index":8,"etag":"7","items":[{"version":7,"owner":"::1","session":"s","data":{}}]`,
		`"code":"Unavailable","message":"no leader","applied":false`,
		`"code":"Unavailable","message":"no leader","applied":"unknown"`,
	}
	url := pretend(t, func(t *testing.T, s *stage) {
		for _, answer := range answers {
			a, _ := s.next()
			s.say(fmt.Sprintf(`{"rid":%d,%s}`, a.RID, answer))
		}
		s.linger()
	})
	c := dial(t, url, Options{})
	l, err := c.Push(t.Context(), "/data/a", struct{}{}, IfMatch("0"))
	if refused, is := errors.AsType[*vera.Error](err); !is || refused.Code != vera.PreconditionFailed || l.ETag != "7" || len(l.Items) != 1 {
		t.Errorf("got %+v, %v", l, err)
	}
	for _, want := range []vera.Applied{vera.AppliedNo, vera.AppliedUnknown} {
		_, err := c.Push(t.Context(), "/data/a", struct{}{})
		if refused, is := errors.AsType[*vera.Error](err); !is || refused.Applied != want {
			t.Errorf("got %v, want applied %d", err, want)
		}
	}
	if _, err := c.Push(t.Context(), "/data/a", func() {}); err == nil {
		t.Error("a function was pushed")
	}
}

func TestDataGoesBothWaysAsItIs(t *testing.T) {
	const data = `{"big":12345678901234567890,"small":1.10,"huge":1e999,"text":"<img>\u0041","lone":"\ud800"}`
	url := pretend(t, func(t *testing.T, s *stage) {
		a, _ := s.next()
		if string(a.Data) != data {
			t.Errorf("sent %s", a.Data)
		}
		s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","index":1,"etag":"1","items":[{"version":1,"data":%s}]}`, a.RID, data))
		s.linger()
	})
	l, err := dial(t, url, Options{}).Push(t.Context(), "/data/a", json.RawMessage(data))
	if err != nil || string(l.Items[0].Data) != data {
		t.Errorf("got %+v, %v", l, err)
	}
	var read struct {
		Small float64 `json:"small"`
	}
	if err := l.Items[0].Decode(&read); err != nil || read.Small != 1.1 {
		t.Errorf("decoded %+v, %v", read, err)
	}
}

func TestEndsAreTold(t *testing.T) {
	codes := map[string]websocket.StatusCode{"done": 1000, "draining": 1001, "ended": 4000, "": 1005}
	url := pretend(t, func(t *testing.T, s *stage) {
		s.next()
		reason := s.request.URL.Query().Get("client")
		s.socket.Close(codes[reason], reason)
	})
	for reason, code := range codes {
		c := dial(t, url, Options{Label: reason})
		_, err := c.Get(t.Context(), "/data/a")
		over, is := errors.AsType[*Closed](err)
		if !is || over.Code != vera.CloseCode(code) || over.Reason != reason {
			t.Errorf("got %v, want %d %s", err, code, reason)
		}
		<-c.Done()
		if _, err := c.Ping(t.Context()); !errors.Is(err, c.Err()) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestGoodbyesAreTheOnesAskedFor(t *testing.T) {
	heard := make(chan websocket.StatusCode, 1)
	url := pretend(t, func(t *testing.T, s *stage) {
		_, _, err := s.socket.Read(context.Background())
		heard <- websocket.CloseStatus(err)
	})
	for want, goodbye := range map[websocket.StatusCode]func(*Connection) error{
		1000: (*Connection).Close,
		1001: (*Connection).Leave,
		1005: func(c *Connection) error { return c.CloseWith(vera.CloseNone, "") },
		-1:   func(c *Connection) error { c.Abort(); return nil },
	} {
		c := dial(t, url, Options{})
		if err := goodbye(c); err != nil {
			t.Errorf("goodbye %d: %v", want, err)
		}
		if got := <-heard; got != want {
			t.Errorf("the peer heard %d, want %d", got, want)
		}
		if c.Err() == nil {
			t.Errorf("after goodbye %d the connection lives", want)
		}
	}
}

func TestGoneCallerDoesNotHurtTheConnection(t *testing.T) {
	url := pretend(t, func(t *testing.T, s *stage) {
		s.next() // never answered in time
		a, _ := s.next()
		s.say(`{"rid":1,"code":"OK","index":1,"etag":"0","items":[]}`)
		s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","safeMs":1500,"index":3}`, a.RID))
		s.linger()
	})
	c := dial(t, url, Options{})
	p, err := c.StartPush(t.Context(), "/data/a", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Listing(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	safe, err := c.Ping(t.Context())
	if err != nil || safe.For != 1500*time.Millisecond || safe.Index != 3 || safe.Until().Sub(safe.Sent) != safe.For {
		t.Errorf("got %+v, %v", safe, err)
	}
}

func TestNonsenseEndsTheConnection(t *testing.T) {
	for _, nonsense := range []string{`{`, `[]`, `{"action":"notify","items":3}`} {
		url := pretend(t, func(t *testing.T, s *stage) {
			s.say(nonsense)
			s.linger()
		})
		c := dial(t, url, Options{})
		<-c.Done()
		if over, is := errors.AsType[*Closed](c.Err()); !is || over.Cause == nil {
			t.Errorf("%s: %v", nonsense, c.Err())
		}
	}
}

func TestStateIsKept(t *testing.T) {
	url := pretend(t, func(t *testing.T, s *stage) {
		for _, state := range []string{"suspended", "connected"} {
			a, _ := s.next()
			s.say(`{"action":"state","state":"` + state + `"}`)
			s.say(fmt.Sprintf(`{"rid":%d,"code":"OK","safeMs":0,"index":3}`, a.RID))
		}
		s.linger()
	})
	c := dial(t, url, Options{})
	for _, want := range []bool{true, false} {
		if _, err := c.Ping(t.Context()); err != nil || c.Suspended() != want {
			t.Errorf("suspended %v, %v; want %v", c.Suspended(), err, want)
		}
	}
}
