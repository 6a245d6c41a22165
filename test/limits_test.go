package test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vera"
	"vera/client"
)

func TestLimitsOfAMessageAreFlags(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--max-message", "1000", "--max-data", "100", "--max-path", "50", "--max-segments", "4", "--max-depth", "6")
	c := call(t, p, client.Options{})
	ctx := within(t, patience)

	fits := strings.Repeat("x", 100-len(`{"a":""}`))
	c.push("/data/a", map[string]string{"a": fits}, client.Limit(0))
	_, err := c.Push(ctx, "/data/a", map[string]string{"a": fits + "x"})
	refused(t, err, vera.TooLarge, "100")

	c.get("/data/" + strings.Repeat("p", 44))
	_, err = c.Get(ctx, "/data/"+strings.Repeat("p", 45))
	refused(t, err, vera.InvalidParameter, "50")

	c.get("/data/a/b/c/d")
	_, err = c.Get(ctx, "/data/a/b/c/d/e")
	refused(t, err, vera.InvalidParameter, "4")

	c.push("/data/a", map[string]any{"a": [][][][]int{{{{}}}}}, client.Limit(0)) // with the message and the data: six deep
	_, err = c.Push(ctx, "/data/a", map[string]any{"a": [][][][][]int{{{{{}}}}}})
	refused(t, err, vera.InvalidParameter, "6")

	if s := c.session(); len(s.Items) != 2 {
		t.Errorf("after refusals the connection goes on, with %s", text(s))
	}
	_, err = c.Push(ctx, "/data/a", map[string]string{"a": strings.Repeat("x", 1000)})
	if over, is := errors.AsType[*client.Closed](err); !is || over.Code != vera.CloseTooLarge {
		t.Errorf("a message over the limit: %v", err)
	}
}

func TestLimitsOfItemsAndWatchesAreFlags(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--max-session-items", "5", "--max-list-items", "7", "--max-session-watches", "3")
	c, other := call(t, p, client.Options{}), call(t, p, client.Options{})
	ctx := within(t, patience)
	var held []uint64
	for n := range 5 {
		held = append(held, c.push("/data/a", number(n)).Version)
	}
	_, err := c.Push(ctx, "/data/b", number(5))
	refused(t, err, vera.TooManyRequests, "5")
	other.push("/data/a", number(0))
	other.push("/data/a", number(0))
	_, err = other.Push(ctx, "/data/a", number(0))
	refused(t, err, vera.TooManyRequests, "7")
	other.push("/data/b", number(0))
	if _, err := c.Remove(ctx, "/data/a", held[0]); err != nil {
		t.Fatal(err)
	}
	c.push("/data/b", number(5)) // there is room again

	for n := range 3 {
		c.watch(fmt.Sprint("/data/w/", n))
	}
	_, _, err = c.Watch(ctx, "/data/w/3")
	refused(t, err, vera.TooManyRequests, "3")
	c.watch("/data/w/1", client.Limit(1)) // the same again is none more
	if err := c.Unwatch(ctx, "/data/w/0"); err != nil {
		t.Fatal(err)
	}
	c.watch("/data/w/3")
}

// refusedWith fails unless the handshake was refused with that status.
func refusedWith(t *testing.T, err error, status int, word string) {
	t.Helper()
	refusal, is := errors.AsType[*client.Refused](err)
	if !is || refusal.Status != status || !strings.Contains(refusal.Error(), word) {
		t.Errorf("got %v, want status %d with %q", err, status, word)
		return
	}
	if status == http.StatusServiceUnavailable && refusal.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %v", refusal.Header)
	}
}

func TestLimitsOfConnectionsAreFlags(t *testing.T) {
	t.Parallel()
	t.Run("in all", func(t *testing.T) {
		t.Parallel()
		p := startPeer(t, "--max-connections", "3")
		callers := []*caller{call(t, p, client.Options{}), call(t, p, client.Options{}), call(t, p, client.Options{})}
		_, err := tryCall(t, p, client.Options{})
		refusedWith(t, err, http.StatusServiceUnavailable, "")
		callers[0].push("/data/a", number(1)) // nobody else noticed
		callers[1].Abort()
		eventually(t, "room", func() bool {
			c, err := tryCall(t, p, client.Options{})
			if err == nil {
				c.Abort()
			}
			return err == nil
		})
	})
	t.Run("of an address", func(t *testing.T) {
		t.Parallel()
		p := startPeer(t, "--max-address-connections", "2")
		call(t, p, client.Options{})
		call(t, p, client.Options{})
		_, err := tryCall(t, p, client.Options{})
		refusedWith(t, err, http.StatusTooManyRequests, "")
	})
	t.Run("of a session", func(t *testing.T) {
		t.Parallel()
		p := startPeer(t, "--max-session-connections", "2")
		c := call(t, p, client.Options{})
		call(t, p, client.Options{Cookie: c.Cookie()})
		_, err := tryCall(t, p, client.Options{Cookie: c.Cookie()})
		refusedWith(t, err, http.StatusTooManyRequests, "2")
		call(t, p, client.Options{})
	})
}

func TestFewDescriptorsCostConnectionsAndNothingElse(t *testing.T) {
	t.Parallel()
	const descriptors = 200
	p, path := &peer{dir: filepath.Join(t.TempDir(), "data"), descriptors: descriptors}, here(t)
	p.launch(t)
	first := call(t, p, client.Options{})
	var held []*caller
	turnedAway := 0
	for n := range 2 * descriptors {
		c, err := tryCall(t, p, client.Options{})
		if err != nil {
			refusedWith(t, err, http.StatusServiceUnavailable, "")
			turnedAway++
			continue
		}
		if held = append(held, c); n%10 == 0 {
			c.push(path, number(n))
		}
	}
	if len(held) < descriptors/2 || turnedAway == 0 {
		t.Errorf("of %d connections %d were let in and %d turned away", 2*descriptors, len(held), turnedAway)
	}
	for n := range 20 { // the log needs files as well
		first.push(path, number(n), client.Limit(0))
	}
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	call(t, p, client.Options{}).push(path, number(0))
}

func TestLimitsOfARequestHeadAreFlags(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--max-head", "1000", "--max-lines", "20")
	for what, header := range map[string][]string{
		"bytes": {"X-Long", strings.Repeat("x", 1000)},
		"lines": strings.Split(strings.TrimSuffix(strings.Repeat("X-Line,x,", 21), ","), ","),
	} {
		if response, body := fetch(t, p, "GET", "/data/a", header...); response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %s %s", what, response.Status, body)
		}
	}
	if response, body := fetch(t, p, "GET", "/data/a", "X-Short", strings.Repeat("x", 500)); response.StatusCode != http.StatusOK {
		t.Errorf("within the limits: %s %s", response.Status, body)
	}
}

// Requests beyond the rate, or beyond what may be under way, are read later:
// every one of them is answered, only not faster than allowed.
func TestRequestsBeyondTheRateAreReadLater(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t, "--max-rate", "50", "--max-in-flight", "4"), here(t)
	c, other := speak(t, p, ""), call(t, p, client.Options{})
	const requests = 150
	start := time.Now()
	go func() {
		for n := range requests {
			if err := c.Send(fmt.Appendf(nil, `{"rid":%d,"action":"push","path":%q,"data":{"n":%d},"limit":0}`, n, path, n)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	var last uint64
	for range requests {
		r := c.hear()
		if r.Code != vera.OK && r.Code != vera.TooManyRequests || r.Version != 0 && r.Version <= last {
			t.Fatalf("answered %s", r.raw)
		}
		last = max(last, r.Version)
	}
	if took := time.Since(start); took < (requests-50)/50*time.Second-slack { // the first second's worth may come in a burst
		t.Errorf("%d requests took %v at 50 a second", requests, took)
	}
	if safe := other.ping(); safe.For == 0 {
		t.Error("somebody else noticed")
	}
}

func TestTheOutboxIsBounded(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t, "--max-outbox", "4096"), here(t)
	c := call(t, p, client.Options{})
	w := call(t, p, client.Options{}).watch(path)
	f := follow(w.began)
	for n := range 50 { // lists that are larger than the outbox all the same
		c.push(path, map[string]any{"n": n, "fill": strings.Repeat("x", 1000)}, client.Limit(0))
	}
	for len(f.known) < 50 {
		if err := f.take(w.next()); err != nil {
			t.Fatal(err)
		}
	}
	if l := c.get(path); len(l.Items) != 50 {
		t.Errorf("got %d items", len(l.Items))
	}
}
