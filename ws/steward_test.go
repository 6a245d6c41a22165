package ws

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"vera"
)

// steward notes what it is asked for; of no peer but "two" does it know.
type steward struct {
	mu    sync.Mutex
	asked []string
	save  func(w io.Writer) error
}

func (s *steward) note(what, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "two":
		s.asked = append(s.asked, what)
		return nil
	case "slow":
		return context.DeadlineExceeded
	}
	return vera.Errorf(vera.NotFound, "name: no peer is called %q", name)
}

func (s *steward) Remove(_ context.Context, name string) error   { return s.note("remove", name) }
func (s *steward) Promote(_ context.Context, name string) error  { return s.note("promote", name) }
func (s *steward) Transfer(_ context.Context, name string) error { return s.note("transfer", name) }
func (s *steward) Save(_ context.Context, w io.Writer) error     { return s.save(w) }

func withSteward(t *testing.T) (*peer, *steward) {
	s := &steward{}
	return newPeer(t, func(o *Options) { o.Inspector, o.Steward = &inspector{}, s }), s
}

func TestAStewardChangesTheCluster(t *testing.T) {
	p, s := withSteward(t)
	for _, what := range []string{"remove", "promote", "transfer"} {
		if answer := p.look(t, "POST", "/peers/two/"+what); answer.StatusCode != 200 || answer.body != `{"code":"OK"}` {
			t.Errorf("%s: %v %s", what, answer, answer.body)
		}
	}
	if !slices.Equal(s.asked, []string{"remove", "promote", "transfer"}) || strings.Count(p.logged.String(), "the cluster changed by an operator") != 3 {
		t.Errorf("asked for %v, logged %s", s.asked, p.logged.String())
	}
}

func TestWhatChangesTheClusterIsGuarded(t *testing.T) {
	p, s := withSteward(t)
	p.unharmed(t)
	for _, test := range []struct {
		method, target, header string
		status                 int
		code                   vera.Code
	}{
		{"GET", "/peers/two/remove", "X: y", 405, vera.InvalidParameter},
		{"POST", "/peers/two/remove", "Origin: http://evil.example", 403, vera.Forbidden},
		{"POST", "/peers/two/remove", "Origin: null", 403, vera.Forbidden},
		{"POST", "/peers/two/remove", "Origin: http://" + p.addr, 403, vera.Forbidden},
		{"POST", "/peers/two/remove", "Sec-Fetch-Site: cross-site", 403, vera.Forbidden},
		{"POST", "/peers/two/remove", "Content-Length: 3\r\n\r\nabc", 400, vera.InvalidParameter},
		{"POST", "/peers/two", "X: y", 404, vera.NotFound},
		{"POST", "/peers//remove", "X: y", 404, vera.NotFound},
		{"POST", "/peers/two/praise", "X: y", 404, vera.NotFound},
		{"POST", "/peers/three/remove", "X: y", 404, vera.NotFound},
		{"POST", "/peers/slow/remove", "X: y", 503, vera.Unavailable},
		{"GET", "/snapshot", "Sec-Fetch-Site: cross-site", 403, vera.Forbidden},
		{"POST", "/snapshot", "X: y", 405, vera.InvalidParameter},
	} {
		p.look(t, test.method, test.target, test.header).refused(t, test.status, test.code)
	}
	for _, target := range []string{"POST /peers/two/remove", "GET /snapshot"} {
		ask(t, p.addr, lines(target+" HTTP/1.1", "Host: "+p.addr)).refused(t, 404, vera.NotFound) // clients have no such route
		ask(t, p.admin, lines(target+" HTTP/1.1", "Host: evil.example")).refused(t, 421, vera.Forbidden)
	}
	if len(s.asked) > 0 {
		t.Errorf("asked for %v", s.asked)
	}
}

func TestASnapshotIsSentWholeOrBreaksOff(t *testing.T) {
	p, s := withSteward(t)
	long := strings.Repeat("all of it ", 50_000)
	s.save = func(w io.Writer) error { _, err := io.WriteString(w, long); return err }
	if answer := p.look(t, "GET", "/snapshot"); answer.StatusCode != 200 || answer.body != long || answer.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d %v, %d bytes", answer.StatusCode, answer.Header, len(answer.body))
	}
	s.save = func(io.Writer) error { return vera.Errorf(vera.Unavailable, "no leader") }
	p.look(t, "GET", "/snapshot").refused(t, 503, vera.Unavailable)
	s.save = func(w io.Writer) error { return errors.Join(errors.New("the disk"), second(io.WriteString(w, long))) }
	conn := dial(t, p.admin)
	_, _ = io.WriteString(conn, lines("GET /snapshot HTTP/1.1", "Host: "+p.admin))
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "chunked") || strings.HasSuffix(string(answer), "\r\n0\r\n\r\n") {
		t.Errorf("%d bytes, %v: closed as if whole", len(answer), err)
	}
}

func second(_ int, err error) error { return err }
