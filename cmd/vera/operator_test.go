package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const twoPeers = `{"code":"OK","index":9,"etag":"9","items":[{"version":1,"data":{"name":"one","id":"one-1","client":"http://a","peer":"https://b","role":"leader"}},{"version":2,"data":{"name":"two","id":"two-2","role":"observer"}}]}`

// adminOf serves made-up routes of an admin listener.
func adminOf(t *testing.T, routes map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := routes[r.Method+" "+r.URL.EscapedPath()]
		switch {
		case strings.HasPrefix(answer, "401"):
			w.WriteHeader(http.StatusUnauthorized)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			answer = `{"code":"NotFound","message":"path: there is no route"}`
		case strings.Contains(answer, `"message"`):
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// command runs a command line and returns what it printed.
func command(args ...string) (status int, out, errOut string) {
	var o, e strings.Builder
	status = run(args, nil, &o, &e)
	return status, o.String(), e.String()
}

func TestPeersAreShownAndChanged(t *testing.T) {
	server := adminOf(t, map[string]string{
		"GET /vera/peers": twoPeers, "GET /livez": "ok\n",
		"POST /peers/two/remove":    `{"code":"OK"}`,
		"POST /peers/o%20n/promote": `{"code":"InvalidParameter","message":"o n votes already"}`,
		"POST /peers/x/transfer":    "401",
	})
	for _, test := range []struct {
		args   string
		status int
		said   string
	}{
		{"peers", 0, `[{"name":"one","id":"one-1","client":"http://a","peer":"https://b","role":"leader"},{"name":"two","id":"two-2","role":"observer"}]`},
		{"peers list --json", 0, `"role":"observer"`},
		{"peers remove two", 0, `{"remove":"two"}`},
		{"peers remove three", 1, "no route"},
		{"peers promote o%n", 1, "vera: o n votes already\n"},
		{"peers transfer x", 1, "--admin-token-file"},
		{"peers transfer", 2, "NAME"},
		{"peers praise", 2, "praise"},
		{"snapshot save /nowhere/at/all/file", 1, "/nowhere"},
	} {
		args := strings.Fields(test.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "%", " ")
		}
		status, out, errOut := command(append(args, "--server", server)...)
		if said := out + errOut; status != test.status || !strings.Contains(said, test.said) {
			t.Errorf("%s: %d %s", test.args, status, said)
		}
	}
	status, out, _ := command("__complete", "peers", "remove", "--server", server, "")
	if status != 0 || !strings.HasPrefix(out, "one\ntwo\n") {
		t.Errorf("completed: %d %s", status, out)
	}
}

func TestPeersSaysWhenNobodyLeads(t *testing.T) {
	leader := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Vera-Leader", leader)
		_, _ = io.WriteString(w, twoPeers)
	}))
	defer server.Close()
	if status, out, errOut := command("peers", "--server", server.URL); status != 0 || !strings.Contains(out, "one") || !strings.Contains(errOut, "no leader is known") {
		t.Errorf("%d %s%s", status, out, errOut)
	}
	leader = "one"
	if status, _, errOut := command("peers", "--server", server.URL); status != 0 || errOut != "" {
		t.Errorf("%d %s", status, errOut)
	}
}

func TestAClientListenerIsNotTheAdminListener(t *testing.T) {
	server := adminOf(t, map[string]string{"GET /vera/peers": twoPeers})
	if status, out, _ := command("peers", "--server", server); status != 0 || !strings.Contains(out, "one") {
		t.Errorf("list: %d %s", status, out)
	}
	status, _, errOut := command("peers", "remove", "two", "--server", server)
	if status != 1 || !strings.Contains(errOut, "name the admin listener with --server") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("remove: %d %s", status, errOut)
	}
	if status, _, errOut := command("peers", "--server", "127.0.0.1:8374"); status != 2 || !strings.Contains(errOut, "--server") {
		t.Errorf("no URL: %d %s", status, errOut)
	}
}

func TestHalfASnapshotIsNotKept(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "saved")
	status, _, errOut := command("snapshot", "save", name, "--server", adminOf(t, map[string]string{"GET /snapshot": "half of it"}))
	if status != 1 || !strings.Contains(errOut, "archive") {
		t.Errorf("%d %s", status, errOut)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	junk := file(t, "junk", strings.Repeat("junk", 5000))
	for _, args := range [][]string{{"snapshot", "check", junk}, {"snapshot", "restore", junk, "--data-dir", filepath.Join(dir, "d")}} {
		if status, _, errOut := command(args...); status != 1 || !strings.Contains(errOut, junk) {
			t.Errorf("%v: %d %s", args, status, errOut)
		}
	}
	for _, args := range [][]string{{"snapshot"}, {"snapshot", "check"}, {"snapshot", "frob"}, {"snapshot", "restore", junk, "--name", "a b"}} {
		if status, _, _ := command(args...); status != 2 {
			t.Errorf("%v: status %d", args, status)
		}
	}
}
