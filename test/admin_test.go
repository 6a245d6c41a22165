package test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// page reads a route of a peer's admin listener.
func page(t testing.TB, p *peer, route string) (status int, body string) {
	t.Helper()
	response, err := quickHTTP().Get("http://" + p.admin + route)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// admin returns one figure of /metrics, all its labels added up.
func admin(t testing.TB, p *peer, name string) float64 {
	t.Helper()
	status, body := page(t, p, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(body) {
		rest, is := strings.CutPrefix(line, name)
		if !is || !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "{") {
			continue
		}
		fields := strings.Fields(rest)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", line, err))
		}
		sum, found = sum+value, true
	}
	if !found {
		t.Fatalf("/metrics has no %s", name)
	}
	return sum
}
