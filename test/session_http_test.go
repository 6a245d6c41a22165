package test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"vera/client"
)

// sessionOver asks GET /session with a cookie.
func sessionOver(t *testing.T, p *peer, cookie string) (s client.Session) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url()+"/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Cookie", cookie)
	r, err := quickHTTP().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return s
}

func TestGetSessionPromisesNoMoreThanPing(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	fleeting := call(t, p, client.Options{Grace: client.NoGrace})
	fleeting.push(path, number(1))
	if s := sessionOver(t, p, fleeting.Cookie()); s.GraceMs != 0 || s.SafeMs != 0 || len(s.Items) != 1 {
		t.Errorf("without grace: %s", text(s))
	}
	lost := call(t, p, client.Options{Grace: 3 * time.Second})
	lost.push(path, number(2))
	if s := sessionOver(t, p, lost.Cookie()); s.GraceMs != 3000 || s.SafeMs != 3000 || len(s.Items) != 1 {
		t.Errorf("connected: %s", text(s))
	}
	lost.reset()
	eventually(t, "its grace to run", func() bool {
		s := sessionOver(t, p, lost.Cookie())
		return !s.Resumed || s.SafeMs == 0
	})
}
