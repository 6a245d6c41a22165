package sign

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What a Sender signs comes through net/http's client and server unchanged,
// and what the server asks for comes back.
func TestThroughNetHTTP(t *testing.T) {
	w := newWorld(t)
	w.sender.Now = func() time.Time { return time.Now().Add(w.away) }
	v, err := NewReceiver(keyIDOf(w.own), w.clusterID, time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(r, body); err != nil {
			v.Ask(answer.Header(), err)
			answer.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	client := server.Client()
	client.Transport.(*http.Transport).DisableCompression = true
	defer client.CloseIdleConnections()

	receiver, challenge := keyIDOf(w.own)+"/0", ""
	send := func(method, body string, want int) {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+"/vera/call/x%20y?a=b", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.sender.Sign(r, []byte(body), receiver, challenge); err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s %q: %d, must be %d", method, body, answer.StatusCode, want)
		}
		if answer.StatusCode == http.StatusUnauthorized {
			if receiver, challenge, err = Asked(answer.Header, keyIDOf(w.own)); err != nil {
				t.Error(err)
			}
		}
	}
	send("POST", "hello", 401)
	send("POST", "hello", 200)
	send("POST", "", 200)
	send("GET", "", 200)
	send("POST", strings.Repeat("x", 1<<20), 200)
	w.away = 10 * time.Minute
	send("POST", "hello", 401)
	send("POST", "hello", 200)
	send("POST", "hello", 401)
}
