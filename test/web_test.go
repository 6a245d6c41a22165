package test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"vera/client"
)

// mustHave skips what needs a thing that this machine lacks, and says so. In
// CI, or with VERA_REQUIRE_BROWSER=1, that is a failure.
func mustHave(t *testing.T, what string, has bool) {
	t.Helper()
	if has {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("VERA_REQUIRE_BROWSER") == "1" {
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("SKIPPED, NOT SHOWN: %s is missing", what)
}

// node runs a program of web/ and returns what it printed.
func node(t *testing.T, program string, env ...string) []byte {
	t.Helper()
	_, err := exec.LookPath("node")
	mustHave(t, "node", err == nil)
	_, err = os.Stat("web/node_modules/ws")
	mustHave(t, "test/web/node_modules (run npm ci in test/web)", err == nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", program)
	cmd.Dir = "web"
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, said.String())
	}
	return printed
}

func TestNodesWSWorks(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	node(t, "node.mjs", "VERA="+p.url())
}

// Not parallel: a browser takes a core for itself.
func TestPagesInChromiumWork(t *testing.T) {
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "/usr/bin/chromium"
	}
	_, err := os.Stat(chromium)
	mustHave(t, chromium, err == nil)
	pages := httptest.NewServer(http.FileServer(http.Dir("web")))
	defer pages.Close()
	stranger := httptest.NewServer(http.FileServer(http.Dir("web")))
	defer stranger.Close()
	p := startPeer(t, "--allowed-origins", pages.URL)
	w := call(t, p, client.Options{}).watch("/data/browser")

	var was struct{ Item, Closed, Lost uint64 }
	printed := node(t, "browser.mjs", "VERA="+p.url(), "PAGES="+pages.URL, "STRANGER="+stranger.URL, "CHROMIUM="+chromium)
	if err := json.Unmarshal(printed, &was); err != nil {
		t.Fatalf("%s: %v", printed, err)
	}
	f, left := follow(w.began), map[uint64]string{}
	for len(left) < 3 { // the last one leaves when the grace of a closed tab is over
		n := w.next()
		if err := f.take(n); err != nil {
			t.Fatal(err)
		}
		for _, item := range n.Removed {
			left[item.Version] = item.Reason
		}
	}
	if left[was.Item] != "closed" || left[was.Closed] != "closed" || left[was.Lost] != "expired" {
		t.Errorf("%+v left as %v", was, left)
	}
	if len(f.known) != 0 {
		t.Errorf("left behind: %s", text(f.known))
	}
}
