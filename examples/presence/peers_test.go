package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask asks for a path as a page does, and returns what came.
func ask(t *testing.T, page *httptest.Server, path string) (int, string) {
	t.Helper()
	response, err := page.Client().Get(page.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// named is a peer that says who it is and under which name it was asked.
func named(t *testing.T, name string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name+" "+r.Host) }))
	t.Cleanup(s.Close)
	return s
}

func TestThePageAndThePeersAreOneOrigin(t *testing.T) {
	a, b := named(t, "a"), named(t, "b")
	drains := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer drains.Close()
	routes, err := routesTo([]string{a.URL, drains.URL, b.URL})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(routes)
	defer front.Close()
	host := strings.TrimPrefix(front.URL, "http://")
	if status, body := ask(t, front, "/"); status != 200 || !strings.Contains(body, "<title>Who is here") {
		t.Errorf("the page: %d %s", status, body)
	}
	for range 2 {
		if status, body := ask(t, front, "/session"); status != 200 || body != "a "+host {
			t.Errorf("the first peer: %d %s", status, body)
		}
	}
	a.Close()
	for range 2 {
		if status, body := ask(t, front, "/session"); status != 200 || body != "b "+host {
			t.Errorf("without the first: %d %s", status, body)
		}
	}
	b.Close()
	if status, body := ask(t, front, "/session"); status != 503 {
		t.Errorf("without any: %d %s", status, body)
	}
}

func TestWhatIsNoURLIsRefused(t *testing.T) {
	for _, server := range []string{"", "127.0.0.1:8372", "ws://a.example", "http://"} {
		if _, err := routesTo([]string{"http://127.0.0.1:1", server}); err == nil {
			t.Errorf("%q was taken", server)
		}
	}
}
