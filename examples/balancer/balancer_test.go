package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vera/client"
	"vera/examples/peer"
)

// TestMain is the example itself in the processes that it starts.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-backend") {
		main()
		return
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// world is a peer, a proxy and a client that follows the list as the proxy does.
type world struct {
	t      *testing.T
	peer   *peer.Peer
	client *client.Client
	pool   *pool
	proxy  *httptest.Server
}

func begun(t *testing.T) *world {
	t.Helper()
	p, err := peer.Use(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(t.Context(), []string{p.URL}, client.Options{Grace: grace})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, peer: p, client: c, pool: newPool()}
	followed := make(chan error, 1)
	go func() { followed <- w.pool.follow(t.Context(), c) }()
	w.proxy = httptest.NewServer(w.pool.proxy())
	t.Cleanup(func() {
		w.proxy.Close()
		w.pool.transport.CloseIdleConnections()
		if err := errors.Join(c.Close(), p.Stop()); err != nil {
			t.Error(err)
		}
		<-followed
	})
	return w
}

// start starts a backend as a process, and waits until the proxy knows of it.
func (w *world) start(name string) *exec.Cmd {
	w.t.Helper()
	b, err := peer.Again("-server", w.peer.URL, "-backend", name)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { peer.End(b) })
	w.await(name+" in the pool", func() bool { return w.pool.url(name) != "" })
	return b
}

// url returns where a backend of the pool is; "" when it is not there.
func (p *pool) url(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.members {
		if m.name == name {
			return m.url.Host
		}
	}
	return ""
}

func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-ctx.Done():
			w.t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// ask sends one request through the proxy, and returns what it was answered.
func (w *world) ask(method string) (int, string, error) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("something")
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.proxy.URL, body)
	if err != nil {
		return 0, "", err
	}
	response, err := w.proxy.Client().Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(text)), err
}

// load asks without a pause until it is told to stop, and returns how many
// answers each backend gave.
func (w *world) load(method string, failed func(code int, text string, err error)) (answered func() map[string]int, stop func()) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	var over atomic.Bool
	names := map[string]int{}
	for range 8 {
		asking.Go(func() {
			for !over.Load() {
				code, text, err := w.ask(method)
				if err != nil || code != http.StatusOK {
					failed(code, text, err)
					continue
				}
				mu.Lock()
				names[text]++
				mu.Unlock()
			}
		})
	}
	answered = func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		copied := map[string]int{}
		for name, n := range names {
			copied[name] = n
		}
		return copied
	}
	return answered, func() { over.Store(true); asking.Wait() }
}

func TestKilledBackendUnderLoad(t *testing.T) {
	w := begun(t)
	killed := w.start("ann")
	w.start("bob")
	w.start("cleo")
	address, dial := w.pool.url("ann"), w.pool.transport.DialContext
	var dialled, lost atomic.Int64
	w.pool.transport.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == address {
			dialled.Add(1)
		}
		return dial(ctx, network, to)
	}
	badGet := func(code int, text string, err error) { // not even one that was on it fails: it is asked elsewhere
		t.Errorf("a GET failed: %d %s %v", code, text, err)
	}
	gets, stopGets := w.load(http.MethodGet, badGet)
	posts, stopPosts := w.load(http.MethodPost, func(code int, text string, err error) {
		if lost.Add(1); code != http.StatusBadGateway || !strings.HasPrefix(text, "ann: ") {
			t.Errorf("a POST failed that was not on the killed one: %d %s %v", code, text, err)
		}
	})
	w.await("answers of all", func() bool { return len(gets()) == 3 && len(posts()) == 3 })
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.await("Vera to tell", func() bool { return w.pool.url("ann") == "" })
	stopGets() // and all that were asked before
	stopPosts()
	if n := lost.Load(); n > 8 {
		t.Errorf("%d POSTs failed, of 8 at most that can have been on it", n)
	}
	if dialled.Load() == 0 {
		t.Error("no connection to it was counted while it lived")
	}
	dialled.Store(0)
	after, stopAfter := w.load(http.MethodGet, badGet)
	defer stopAfter()
	began := time.Now() // one that did not answer has a rest in any case
	w.await("more answers", func() bool { return sum(after()) > 500 && time.Since(began) > 2*shunned })
	if n := dialled.Load(); n > 0 || after()["ann"] > 0 {
		t.Errorf("%d connections to the killed one after it was told to be gone, and %d answers", n, after()["ann"])
	}
	w.start("dan")
	w.await("answers of a new one", func() bool { return after()["dan"] > 0 })
	t.Logf("%d GETs and %d POSTs were answered around the kill, %d POSTs were lost with it", sum(gets()), sum(posts()), lost.Load())
}

func sum(all map[string]int) (n int) {
	for _, one := range all {
		n += one
	}
	return n
}

// A backend that Vera took off the list gets nothing, although it would answer.
func TestBackendThatLeftGetsNothing(t *testing.T) {
	w := begun(t)
	var asked atomic.Int64
	living := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer living.Close()
	item, _, err := w.client.Push(t.Context(), list, backend{Name: "eve", URL: living.URL})
	if err != nil {
		t.Fatal(err)
	}
	w.await("an answer", func() bool { code, _, _ := w.ask(http.MethodGet); return code == http.StatusOK })
	if err := item.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.await("it to be gone", func() bool { return w.pool.url("eve") == "" })
	before := asked.Load()
	for range 20 {
		if code, text, _ := w.ask(http.MethodGet); code != http.StatusServiceUnavailable {
			t.Fatalf("without any backend: %d %s", code, text)
		}
	}
	if asked.Load() != before {
		t.Error("it was asked all the same")
	}
}

func TestWeightsAreShares(t *testing.T) {
	p := newPool()
	p.members = map[uint64]*member{1: {name: "light", weight: 1}, 2: {name: "heavy", weight: 3}}
	picked := map[string]int{}
	for range 10_000 {
		picked[p.pick(nil).name]++
	}
	if n := picked["heavy"]; n < 7000 || n > 8000 {
		t.Errorf("of 10,000 requests %d are those of weight 3 beside 1", n)
	}
	p.members[2].failed = time.Now()
	if m := p.pick(nil); m.name != "light" {
		t.Error("one that did not answer a moment ago was not the last choice")
	}
	if m := p.pick([]*member{p.members[1]}); m == nil || m.name != "heavy" {
		t.Error("it was no choice at all")
	}
}

func TestAProgramIsABackend(t *testing.T) {
	w := begun(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, w.peer.URL, "fay", 1, []string{"sh", "-c", `exec "$0" -test.run '^TestPortServer$' -test.v`, self})
	}()
	w.await("an answer of the program", func() bool { _, text, _ := w.ask(http.MethodGet); return text == "from the program" })
	leave()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.await("it to be gone", func() bool { return w.pool.url("fay") == "" })
}

// TestPortServer is a program that knows nothing of Vera.
func TestPortServer(t *testing.T) {
	port := os.Getenv("PORT")
	if port == "" {
		t.Skip("this is for another test")
	}
	t.Error(http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from the program") })))
}
