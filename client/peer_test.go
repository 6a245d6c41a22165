package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is one request as the pretended peer read it.
type asked struct {
	RID      uint64          `json:"rid"`
	Action   string          `json:"action"`
	Path     string          `json:"path"`
	Data     json.RawMessage `json:"data"`
	Limit    *int            `json:"limit"`
	Items    *bool           `json:"items"`
	IfMatch  *string         `json:"ifMatch"`
	Once     string          `json:"once"`
	Since    uint64          `json:"since"`
	Version  uint64          `json:"version"`
	MinIndex uint64          `json:"minIndex"`
}

// script is what a pretended peer does with one connection.
type script func(t *testing.T, s *stage)

// stage is the pretended peer's end of a connection.
type stage struct {
	t       *testing.T
	socket  *websocket.Conn
	request *http.Request
}

// pretend starts a peer that follows the script with every connection.
func pretend(t *testing.T, play script) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "" {
			http.SetCookie(w, &http.Cookie{Name: "vera-12345678", Value: "made.here", Path: "/"})
		}
		socket, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer socket.CloseNow()
		play(t, &stage{t, socket, r})
	}))
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return server.URL
}

// next reads the next request; false when the client is gone.
func (s *stage) next() (a asked, more bool) {
	_, message, err := s.socket.Read(context.Background())
	if err != nil {
		return a, false
	}
	if err := json.Unmarshal(message, &a); err != nil {
		s.t.Errorf("the client sent %s: %v", message, err)
	}
	return a, true
}

// say writes one message.
func (s *stage) say(message string) {
	if err := s.socket.Write(context.Background(), websocket.MessageText, []byte(message)); err != nil {
		s.t.Logf("the client does not listen: %v", err)
	}
}

// linger reads until the client is gone.
func (s *stage) linger() {
	for {
		if _, more := s.next(); !more {
			return
		}
	}
}

// dial connects and lets go at the test's end.
func dial(t *testing.T, url string, o Options) *Connection {
	t.Helper()
	c, err := Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	return c
}
