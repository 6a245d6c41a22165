package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"vera"
	"vera/client"
)

// Bounds on waiting. None of them is waited for when all is well.
const (
	patience = 15 * time.Second       // for what must happen at all
	slack    = 500 * time.Millisecond // beyond the protocol's bounds: one commit, and this machine
)

// caller is a client of a peer, with the TCP connection beneath its WebSocket.
type caller struct {
	*client.Connection
	t   testing.TB
	tcp *net.TCPConn
}

// call connects to a peer; the test fails if it cannot.
func call(t testing.TB, p *peer, o client.Options) *caller {
	t.Helper()
	c, err := tryCall(t, p, o)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	return c
}

// tryCall connects to a peer.
func tryCall(t testing.TB, p *peer, o client.Options) (*caller, error) {
	return callAt(t, p, p.client, o)
}

// callAt connects to a peer by way of another address. Whoever still lives at
// the test's end is cut off.
func callAt(t testing.TB, p *peer, addr string, o client.Options) (*caller, error) {
	c := &caller{t: t}
	o.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.dial(addr)}}
	connection, err := client.Dial(within(t, patience), p.url(), o)
	if err != nil {
		return nil, err
	}
	c.Connection = connection
	t.Cleanup(connection.Abort)
	return c, nil
}

// dial returns a dialler that goes to addr, whatever the URL says.
func (c *caller) dial(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.tcp = conn.(*net.TCPConn)
		return conn, nil
	}
}

// reset breaks the TCP connection without a Close frame or a FIN.
func (c *caller) reset() {
	c.t.Helper()
	if err := errors.Join(c.tcp.SetLinger(0), c.tcp.Close()); err != nil {
		c.t.Fatalf("reset: %v", err)
	}
	<-c.Done()
}

// push pushes; it must be OK.
func (c *caller) push(path string, data any, options ...client.Option) client.Listing {
	c.t.Helper()
	l, err := c.Push(within(c.t, patience), path, data, options...)
	if err != nil {
		c.t.Fatalf("push %s: %v", path, err)
	}
	return l
}

// get reads; it must be OK.
func (c *caller) get(path string, options ...client.Option) client.Listing {
	c.t.Helper()
	l, err := c.Get(within(c.t, patience), path, options...)
	if err != nil {
		c.t.Fatalf("get %s: %v", path, err)
	}
	return l
}

// watch watches; it must be OK.
func (c *caller) watch(path string, options ...client.Option) *feed {
	c.t.Helper()
	w, l, err := c.Watch(within(c.t, patience), path, options...)
	if err != nil {
		c.t.Fatalf("watch %s: %v", path, err)
	}
	return &feed{c.t, w, l}
}

// session asks who this client is.
func (c *caller) session() client.Session {
	c.t.Helper()
	s, err := c.Session(within(c.t, patience))
	if err != nil {
		c.t.Fatalf("session: %v", err)
	}
	return s
}

// ping pings; it must be OK.
func (c *caller) ping() client.Safe {
	c.t.Helper()
	safe, err := c.Ping(within(c.t, patience))
	if err != nil {
		c.t.Fatalf("ping: %v", err)
	}
	return safe
}

// feed is a watch, and what was answered when it began.
type feed struct {
	t     testing.TB
	watch *client.Watch
	began client.Listing
}

// next returns the next notification; it must come.
func (f *feed) next() client.Notification {
	f.t.Helper()
	n, err := f.watch.Next(within(f.t, patience))
	if err != nil {
		f.t.Fatalf("no notification of %s: %v", f.watch.Path(), err)
	}
	return n
}

// until returns the first notification for which holds is true.
func (f *feed) until(holds func(client.Notification) bool) client.Notification {
	f.t.Helper()
	for {
		if n := f.next(); holds(n) {
			return n
		}
	}
}

// arrival waits until version is told of. An item that comes and goes may be
// told of as nothing at all, since what waits for a watcher is merged.
func (f *feed) arrival(version uint64) {
	f.t.Helper()
	f.until(func(n client.Notification) bool {
		return slices.ContainsFunc(n.Added, func(item client.Item) bool { return item.Version == version })
	})
}

// removal waits until version has left and returns when that was heard of, and
// why it left.
func (f *feed) removal(version uint64) (time.Time, string) {
	f.t.Helper()
	var reason string
	f.until(func(n client.Notification) bool {
		for _, item := range n.Removed {
			if item.Version == version {
				reason = item.Reason
			}
		}
		return reason != ""
	})
	return time.Now(), reason
}

// silent fails if anything of an index before now is told of the list. A
// notification of another list marks now: on one connection none is older than
// one before.
func (f *feed) silent(c *caller) {
	f.t.Helper()
	marker := f.watch.Path() + "/marker"
	marked := c.watch(marker)
	pushed := c.push(marker, number(0), client.Limit(0))
	marked.until(func(n client.Notification) bool { return n.Index >= pushed.Version })
	ctx, cancel := context.WithCancel(f.t.Context())
	cancel() // what waits already is given out all the same
	if n, err := f.watch.Next(ctx); err == nil {
		f.t.Errorf("told of %s without need: %s", f.watch.Path(), text(n))
	}
}

// within returns a context that ends after d, or with the test.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually asks until it holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ask := time.NewTicker(10 * time.Millisecond)
	defer ask.Stop()
	for end := time.Now().Add(patience); !holds(); <-ask.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// refused fails unless err is a refusal with that code whose message has the word.
func refused(t testing.TB, err error, code vera.Code, word string) {
	t.Helper()
	refusal, is := errors.AsType[*vera.Error](err)
	if !is || refusal.Code != code || !strings.Contains(refusal.Message, word) {
		t.Errorf("got %v, want %s with %q", err, code, word)
	}
}

// closedWith fails unless the connection ends, with that code.
func (c *caller) closedWith(code vera.CloseCode) {
	c.t.Helper()
	select {
	case <-c.Done():
	case <-within(c.t, patience).Done():
		c.t.Fatalf("not closed, want %d", code)
	}
	if over, is := errors.AsType[*client.Closed](c.Err()); !is || over.Code != code {
		c.t.Errorf("closed with %v, want %d", c.Err(), code)
	}
}

// versions returns the versions of items, in their order.
func versions(items []client.Item) []uint64 {
	list := make([]uint64, len(items))
	for i, item := range items {
		list[i] = item.Version
	}
	return list
}

// here is a path of this test's own.
func here(t testing.TB, more ...string) string {
	return "/data/" + strings.Join(append([]string{t.Name()}, more...), "/")
}

// number is data that tells one push from another.
func number(n int) map[string]int { return map[string]int{"n": n} }

// text shows a value in a failure.
func text(v any) string {
	s, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(s)
}

// quickHTTP returns a client for plain HTTP that leaves nothing open behind.
func quickHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}
