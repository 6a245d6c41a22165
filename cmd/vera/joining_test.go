package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"vera/test/ports"
)

// TestCommandsSayAtOnceThatNobodyListens gives them servers that refuse the
// connection, and one that answers behind such a one.
func TestCommandsSayAtOnceThatNobodyListens(t *testing.T) {
	closed := func() string { return ports.For(t, 1).Address(0) }
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}))
	defer answers.Close()
	servers := map[string]string{
		closed(): "refused. Is a peer running there?",
		closed() + "," + closed() + "," + closed(): "refused. Is a peer running there?",
		closed() + "," + answers.URL:               "HTTP status 403",
		"ftp://" + closed():                        "begins with none of http, https, ws, wss",
	}
	for server, want := range servers {
		for _, args := range [][]string{{"push", "/data/a", "{}"}, {"watch", "/data/a"}, {"elect", "/data/a", "--", "true"}} {
			var said strings.Builder
			began := time.Now()
			status := run(append([]string{args[0], "--server", server}, args[1:]...), strings.NewReader(""), io.Discard, &said)
			if status != 1 || !strings.Contains(said.String(), want) || strings.Count(said.String(), "\n") != 1 {
				t.Errorf("%s --server %s: %d %s", args[0], server, status, &said)
			}
			if took := time.Since(began); took > connectFor-time.Second {
				t.Errorf("%s --server %s: it took %v", args[0], server, took)
			}
		}
	}
}
