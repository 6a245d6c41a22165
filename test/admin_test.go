package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"vera"
	"vera/client"
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

func TestMetricsHaveTheNamesPromised(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	c := call(t, p, client.Options{})
	c.watch("/data/a")
	c.push("/data/a", number(1))
	for name, want := range map[string]float64{
		"vera_connections": 1, "vera_sessions": 1, "vera_items": 1, "vera_lists": 1, "vera_watches": 1,
		"vera_raft_leader": 1, "vera_slow_connections_total": 0,
	} {
		// A watch is in the log only a moment after its answer.
		eventually(t, fmt.Sprintf("%s to be %v", name, want), func() bool { return admin(t, p, name) == want })
	}
	if c.Close() != nil {
		t.Error("close")
	}
	eventually(t, "the session's end in the metrics", func() bool { return admin(t, p, "vera_sessions") == 0 })
	_, body := page(t, p, "/metrics")
	for _, line := range []string{
		`vera_requests_total{action="push",code="OK"} 1`, `vera_request_seconds_count{action="push"} 1`, "vera_notifications_total 1",
		"vera_notification_seconds", "vera_outbox_bytes", `vera_closes_total{code="1000"} 1`, `vera_session_ends_total{reason="closed"} 1`,
		"vera_expiry_lateness_seconds", "vera_raft_term", "vera_raft_last_contact_seconds", "vera_raft_commit_index", "vera_raft_applied_index",
		"vera_raft_apply_seconds", "vera_raft_fsync_seconds", "vera_raft_batch_size", `vera_actors{kind="session"}`,
		`vera_actor_messages_total{kind=`, `vera_actor_restarts_total{kind=`, `vera_mailbox_depth_max{kind=`, "process_open_fds", "go_goroutines",
	} {
		if !strings.Contains(body, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
}

func TestTheAdminListenerShowsWhatGoesOn(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	c := call(t, p, client.Options{})
	c.push("/data/a", number(1))
	id := c.session().Session
	for route, word := range map[string]string{
		"/sessions": id, "/actors": "session", "/actors/top": "", "/peers": "", "/debug/pprof/": "goroutine", "/data/a": `"n":1`,
	} {
		if status, body := page(t, p, route); status != http.StatusOK || !strings.Contains(body, word) {
			t.Errorf("%s: %d %.300s", route, status, body)
		}
	}
	secret := strings.SplitN(c.Cookie(), "=", 2)[1]
	for _, route := range []string{"/sessions", "/actors", "/actors/top"} {
		if _, body := page(t, p, route); strings.Contains(body, secret) {
			t.Errorf("%s shows the secret of a cookie", route)
		}
	}
	if strings.Contains(p.log.String(), secret) {
		t.Error("the log shows the secret of a cookie")
	}
}

func TestAnAdminListenerThatOthersReachNeedsAToken(t *testing.T) {
	t.Parallel()
	p := &peer{dir: filepath.Join(t.TempDir(), "data"), client: "127.0.0.1:0", admin: "0.0.0.0:0"}
	p.refusesToStart(t, "--admin-token-file")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("much-too-secret-to-be-told\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = startPeerAt(t, "0.0.0.0:0", "--admin-token-file", token)
	_, port, err := net.SplitHostPort(p.admin)
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer much-too-secret-to-be-told": 200} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			request.Header.Set("Authorization", header)
		}
		response, err := quickHTTP().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("Authorization %q: %s", header, response.Status)
		}
	}
}

func TestAnOperatorEndsASession(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	w := call(t, p, client.Options{}).watch("/data/a")
	c := call(t, p, client.Options{})
	item := c.push("/data/a", number(1))
	end := func(origin string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.admin+"/sessions/"+c.session().Session+"/end", nil)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			request.Header.Set("Origin", origin)
		}
		response, err := quickHTTP().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if status := end("https://evil.example"); status != http.StatusForbidden {
		t.Errorf("a page of elsewhere was answered %d", status)
	}
	if status := end(""); status != http.StatusOK {
		t.Errorf("the operator was answered %d", status)
	}
	c.closedWith(vera.CloseEnded)
	if _, reason := w.removal(item.Version); reason != "ended" {
		t.Errorf("reason %q", reason)
	}
	if s := call(t, p, client.Options{Cookie: c.Cookie()}).session(); s.Resumed || len(s.Items) != 0 {
		t.Errorf("came back as %s", text(s))
	}
}
