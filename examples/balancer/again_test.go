package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pair is a proxy of two backends: a good one, which answers what it is sent,
// and another one.
func pair(t *testing.T, other string) (ask func(method, body string) (int, string), answered *atomic.Int64) {
	t.Helper()
	answered = new(atomic.Int64)
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answered.Add(1)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(good.Close)
	p := newPool()
	t.Cleanup(p.transport.CloseIdleConnections)
	for i, where := range []string{good.URL, other} {
		u, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		p.members[uint64(i)] = &member{name: where, url: u, weight: 1}
	}
	proxy := httptest.NewServer(p.proxy())
	t.Cleanup(proxy.Close)
	return func(method, body string) (int, string) {
		t.Helper()
		p.mu.Lock()
		p.members[1].failed = time.Time{} // as good a choice as the other
		p.mu.Unlock()
		r, err := http.NewRequestWithContext(t.Context(), method, proxy.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := proxy.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}, answered
}

func TestWhatReachedNobodyIsSentElsewhere(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	ask, _ := pair(t, gone.URL)
	for range 30 {
		if code, text := ask(http.MethodPost, "all of it"); code != http.StatusOK || text != "all of it" {
			t.Fatalf("a POST that nobody took: %d %q", code, text)
		}
	}
}

func TestWhatMayBeDoneTwiceIsSentElsewhere(t *testing.T) {
	var taken atomic.Int64
	dying := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		taken.Add(1)
		panic(http.ErrAbortHandler) // the connection is cut
	}))
	defer dying.Close()
	ask, answered := pair(t, dying.URL)
	for range 30 {
		if code, text := ask(http.MethodGet, ""); code != http.StatusOK {
			t.Fatalf("a GET that died with its backend: %d %q", code, text)
		}
	}
	if taken.Load() == 0 {
		t.Fatal("the dying one was never asked")
	}
	taken.Store(0)
	answered.Store(0)
	failed := 0
	for range 30 {
		switch code, text := ask(http.MethodPost, "once"); code {
		case http.StatusOK:
		case http.StatusBadGateway:
			failed++
		default:
			t.Fatalf("a POST: %d %q", code, text)
		}
	}
	if n := taken.Load() + answered.Load(); n != 30 || int64(failed) != taken.Load() {
		t.Errorf("30 POSTs were sent %d times, %d died and %d failed", n, taken.Load(), failed)
	}
}
