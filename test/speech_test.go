package test

import (
	"encoding/json"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/lean"
)

// speaker is a client that sends whatever it is told to, byte for byte.
type speaker struct {
	t testing.TB
	*lean.Client
}

// reply is any message of a peer, and how it was written.
type reply struct {
	raw     string
	RID     json.RawMessage `json:"rid"`
	Action  string          `json:"action"`
	Code    vera.Code       `json:"code"`
	Message string          `json:"message"`
	Applied json.RawMessage `json:"applied"`
	Index   uint64          `json:"index"`
	ETag    string          `json:"etag"`
	Version uint64          `json:"version"`
	SafeMs  *int64          `json:"safeMs"`
	Total   *int            `json:"total"`
	Items   []client.Item   `json:"items"`
}

// speak connects; query is what stands behind /connect.
func speak(t testing.TB, p *peer, query string) *speaker {
	t.Helper()
	c, err := lean.Dial(p.client, query, 4096)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Conn.Close() })
	if err := c.Conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return &speaker{t, c}
}

// say sends one text message.
func (s *speaker) say(message string) {
	s.t.Helper()
	if err := s.Send([]byte(message)); err != nil {
		s.t.Fatalf("say %.100q: %v", message, err)
	}
}

// hear returns the next message.
func (s *speaker) hear() reply {
	s.t.Helper()
	message, err := s.Receive()
	if err != nil {
		s.t.Fatalf("hear: %v", err)
	}
	r := reply{raw: string(message)}
	if err := json.Unmarshal(message, &r); err != nil {
		s.t.Fatalf("the peer sent %q: %v", message, err)
	}
	return r
}

// ask sends a message and returns the next one that comes.
func (s *speaker) ask(message string) reply {
	s.t.Helper()
	s.say(message)
	return s.hear()
}

// tryAsk is ask for goroutines other than the test's: a failure gives an empty
// reply.
func (s *speaker) tryAsk(message string) (r reply) {
	s.t.Helper()
	if err := s.Send([]byte(message)); err != nil {
		s.t.Errorf("ask %s: %v", message, err)
		return r
	}
	answer, err := s.Receive()
	if err == nil {
		r.raw = string(answer)
		err = json.Unmarshal(answer, &r)
	}
	if err != nil {
		s.t.Errorf("ask %s: %v", message, err)
	}
	return r
}
