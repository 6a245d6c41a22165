package ws

import (
	"bufio"
	"context"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vera"
)

// inspector shows made-up actors and one session.
type inspector struct {
	mu    sync.Mutex
	ended []vera.SessionID
}

var known, busy = vera.SessionOf([]byte("known"), ""), vera.SessionOf([]byte("busy"), "")

func (*inspector) Actors() any         { return map[string]int{"session": 3} }
func (*inspector) TopActors(n int) any { return map[string]int{"n": n} }
func (*inspector) ActorTree() any      { return []string{"guardian"} }
func (*inspector) Actor(_ context.Context, id string) (any, error) {
	return map[string]string{"id": id}, fate(id)
}

// fate is what becomes of a question about an actor or a session.
func fate(id string) error {
	switch id {
	case "shard/0/a b", known.String():
		return nil
	case "busy", busy.String():
		return vera.Errorf(vera.Unavailable, "id: no answer in time")
	}
	return vera.Errorf(vera.NotFound, "id: nothing has it")
}
func (*inspector) Trace(ctx context.Context, id string) (iter.Seq[any], error) {
	return func(yield func(any) bool) {
		if yield(map[string]string{"first": id}) {
			<-ctx.Done()
		}
	}, fate(id)
}
func (*inspector) Sessions(after vera.SessionID, n int) any {
	return map[string]any{"after": after.String(), "n": n}
}
func (*inspector) Session(_ context.Context, id vera.SessionID) (any, error) {
	return map[string]string{"session": id.String()}, fate(id.String())
}
func (i *inspector) EndSession(_ context.Context, id vera.SessionID) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = append(i.ended, id)
	if id != known {
		return vera.Errorf(vera.NotFound, "session: it does not live")
	}
	return nil
}

// withAdmin is a peer with an admin listener.
func withAdmin(t testing.TB) (*peer, *inspector) {
	i, registry := &inspector{}, prometheus.NewRegistry()
	return newPeer(t, func(o *Options) {
		o.Inspector, o.Registerer, o.Metrics = i, registry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	}), i
}

// look asks the admin listener.
func (p *peer) look(t testing.TB, method, target string, more ...string) reply {
	t.Helper()
	return ask(t, p.admin, lines(append([]string{method + " " + target + " HTTP/1.1", "Host: " + p.admin}, more...)...))
}

func TestAdminRoutes(t *testing.T) {
	p, _ := withAdmin(t)
	p.unharmed(t)
	for target, want := range map[string]string{
		"/livez":                  "ok\n",
		"/readyz":                 "ok\n",
		"/readyz?verbose":         "[+] leader ok\n[+] majority ok\n[+] applied ok\n[+] agreement ok\n[+] draining ok\nok\n",
		"/actors":                 `{"session":3}` + "\n",
		"/actors/top":             `{"n":20}` + "\n",
		"/actors/top?limit=5":     `{"n":5}` + "\n",
		"/actors/tree":            `["guardian"]` + "\n",
		"/actors/shard/0/a%20b":   `{"id":"shard/0/a b"}` + "\n",
		"/actors/shard%2f0/a%20b": `{"id":"shard/0/a b"}` + "\n",
		"/sessions?limit=7&after=" + known.String(): `{"after":"` + known.String() + `","n":7}` + "\n",
		"/sessions/" + known.String():               `{"session":"` + known.String() + `"}` + "\n",
		"/actors/trace?id=shard/0/a%20b&forMs=50":   `{"first":"shard/0/a b"}` + "\n",
		"/peers":  `{"code":"OK","index":10,"etag":"0","items":[]}`,
		"/data/x": `{"code":"OK","index":10,"etag":"0","items":[]}`,
	} {
		if answer := p.look(t, "GET", target); answer.StatusCode != 200 || answer.body != want {
			t.Errorf("%s: %d %q, want %q", target, answer.StatusCode, answer.body, want)
		}
	}
	for target, word := range map[string]string{"/": "/actors/trace?id=", "/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "ws.test", "/metrics": "vera_connections 0", "/session": `"session":`} {
		if answer := p.look(t, "GET", target); answer.StatusCode != 200 || !strings.Contains(answer.body, word) {
			t.Errorf("%s: %d %.300q", target, answer.StatusCode, answer.body)
		}
	}
}

func TestAdminRefusals(t *testing.T) {
	p, i := withAdmin(t)
	p.unharmed(t)
	end := "/sessions/" + known.String() + "/end"
	for _, test := range []struct {
		method, target string
		header         string
		status         int
		code           vera.Code
	}{
		{"GET", "/nothing", "X: y", 404, vera.NotFound},
		{"GET", "/actors/unknown", "X: y", 404, vera.NotFound},
		{"GET", "/actors/busy", "X: y", 503, vera.Unavailable},
		{"GET", "/sessions/" + busy.String(), "X: y", 503, vera.Unavailable},
		{"GET", "/actors/top?limit=1001", "X: y", 400, vera.InvalidParameter},
		{"GET", "/actors/trace", "X: y", 400, vera.InvalidParameter},
		{"GET", "/actors/trace?id=unknown", "X: y", 404, vera.NotFound},
		{"GET", "/actors/trace?id=busy", "X: y", 503, vera.Unavailable},
		{"GET", "/actors/trace?id=busy&forMs=600001", "X: y", 400, vera.InvalidParameter},
		{"GET", "/sessions/xyz", "X: y", 400, vera.InvalidParameter},
		{"GET", "/sessions/" + vera.SessionID{}.String(), "X: y", 404, vera.NotFound},
		{"GET", "/sessions?after=xyz", "X: y", 400, vera.InvalidParameter},
		{"POST", "/livez", "X: y", 405, vera.InvalidParameter},
		{"GET", end, "X: y", 405, vera.InvalidParameter},
		{"POST", "/sessions/xyz/end", "X: y", 400, vera.InvalidParameter},
		{"POST", "/sessions/" + vera.SessionID{}.String() + "/end", "X: y", 404, vera.NotFound},
		{"POST", end, "Origin: http://evil.example", 403, vera.Forbidden},
		{"POST", end, "Origin: null", 403, vera.Forbidden},
		{"POST", end, "Origin: http://" + p.addr, 403, vera.Forbidden}, // the client listener is another origin
		{"POST", end, "Sec-Fetch-Site: cross-site", 403, vera.Forbidden},
		{"POST", end, "Content-Length: 3\r\n\r\nabc", 400, vera.InvalidParameter},
		{"GET", "/debug/pprof/profile", "Sec-Fetch-Site: cross-site", 403, vera.Forbidden},
		{"GET", "/actors", "Origin: http://evil.example", 403, vera.Forbidden},
	} {
		if answer := p.look(t, test.method, test.target, test.header); true {
			answer.refused(t, test.status, test.code)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:8374", "192.0.2.1"} {
		ask(t, p.admin, lines("POST "+end+" HTTP/1.1", "Host: "+host)).refused(t, 421, vera.Forbidden)
	}
	p.look(t, "GET", "/actors/trace?id=").refused(t, 400, vera.InvalidParameter, "id: missing")
	if slices.Contains(i.ended, known) {
		t.Error("a session was ended")
	}
	if answer := p.look(t, "GET", "/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"); answer.StatusCode != 200 {
		t.Error("a link does not work")
	}
}

func TestAnOperatorEndsASession(t *testing.T) {
	p, i := withAdmin(t)
	for _, header := range []string{"X: y", "Origin: http://" + p.admin, "Content-Length: 0"} {
		if answer := p.look(t, "POST", "/sessions/"+known.String()+"/end", header); answer.StatusCode != 200 || answer.body != `{"code":"OK"}` {
			t.Errorf("%v %s", answer, answer.body)
		}
	}
	if len(i.ended) != 3 || !strings.Contains(p.logged.String(), "ended by an operator") {
		t.Errorf("%v", i.ended)
	}
}

func TestReadinessSaysWhatIsWrong(t *testing.T) {
	for name, change := range map[string]func(s *vera.Status){
		"leader":    func(s *vera.Status) { s.Leader = "" },
		"majority":  func(s *vera.Status) { s.Suspended = true },
		"applied":   func(s *vera.Status) { s.Committed = 5000 },
		"agreement": func(s *vera.Status) { s.Diverged = "its state differs from that of b" },
		"draining":  func(s *vera.Status) { s.Draining = true },
	} {
		p, _ := withAdmin(t)
		change(&p.status)
		if answer := p.look(t, "GET", "/readyz"); answer.StatusCode != 503 || !strings.Contains(answer.body, "[-] "+name+": ") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.body)
		}
		if answer := p.look(t, "GET", "/livez"); answer.StatusCode != 200 {
			t.Errorf("%s: not alive", name)
		}
	}
}

func TestMetrics(t *testing.T) {
	p, _ := withAdmin(t)
	stays, leaves := p.connect(t, ""), p.connect(t, "")
	_, _ = leaves.Write(closeOf(1000, ""))
	leaves.closing()
	other := p.connect(t, "")
	_, _ = other.Write(closeOf(4321, ""))
	other.closing()
	lost := p.connect(t, "")
	_ = lost.Close()
	ask(t, p.addr, p.get("/nothing"))
	until(t, "all is counted", func() bool { return p.server.sockets.Len() == 1 })
	body := p.look(t, "GET", "/metrics").body
	for _, line := range []string{"vera_connections 1\n", `vera_closes_total{code="1000"} 1`, `vera_closes_total{code="other"} 1`, `vera_closes_total{code="1006"} 1`, "vera_slow_connections_total 0\n", `vera_refusals_total{status="404"} 1`} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
	_ = stays.Close()
}

func TestTheConsoleMayConnectToItsOwnListener(t *testing.T) {
	p, _ := withAdmin(t)
	conn := dial(t, p.admin)
	head := strings.ReplaceAll(p.upgrade("", "Origin: http://"+p.admin), "Host: "+p.addr, "Host: "+p.admin)
	c := p.over(t, conn, head)
	c.say(`{"rid":1,"action":"ping"}`)
	c.hear()
}

func TestATraceEndsWithItsReader(t *testing.T) {
	p, _ := withAdmin(t)
	conn := dial(t, p.admin)
	_, _ = io.WriteString(conn, lines("GET /actors/trace?id=shard/0/a%20b&forMs=600000 HTTP/1.1", "Host: "+p.admin))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || line != `{"first":"shard/0/a b"}`+"\n" {
		t.Errorf("%q %v", line, err)
	}
	_ = conn.Close()
	until(t, "the trace is over", func() bool { return p.server.waiting() == 0 })
}
