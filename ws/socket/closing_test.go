package socket

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// onEach runs a test on every back end.
func onEach(t *testing.T, test func(t *testing.T, b backend, g *Group)) {
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			g := newGroup(t, b.kind, limitsFor())
			test(t, b, g)
			gone(t, g)
		})
	}
}

const minute = time.Minute

func TestOurCloseSaysHowItEnded(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		for code, how := range map[vera.CloseCode]vera.Ending{
			1000: vera.EndedLost, 1001: vera.EndedByServer, 1013: vera.EndedByServer, 4000: vera.EndedLost, 4003: vera.EndedLost,
		} {
			c, e := start(t, b, g, minute)
			e.send("one", "two")
			e.socket.Close(code, "because")
			e.socket.Close(1000, "too late")
			if one, two := c.nextText(t), c.nextText(t); one != "one" || two != "two" {
				t.Errorf("%q %q", one, two)
			}
			if f := c.next(t); f.op != gobwas.OpClose || f.code() != code || f.payload[2:] != "because" {
				t.Errorf("%v", f)
			}
			if ended := e.how(t); ended != how {
				t.Errorf("%d: ended %d, want %d", code, ended, how)
			}
			c.send(100, closeFrame(1000, "the answer, whatever its code"))
			if f := c.next(t); !f.end {
				t.Errorf("%v behind both Close frames", f)
			}
			_ = c.conn.Close()
		}
	})
}

func TestALostConnectionIsLost(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		for name, leave := range map[string]func(c *client){
			"closed":        func(c *client) { _ = c.conn.Close() },
			"half a frame":  func(c *client) { c.send(100, text("half")[:5]); _ = c.conn.Close() },
			"reset":         func(c *client) { reset(c.conn) },
			"going away":    func(c *client) { c.send(100, closeFrame(1001, "")); _ = c.conn.Close() },
			"after our own": func(c *client) { _ = c.conn.Close() },
		} {
			c, e := start(t, b, g, minute)
			c.send(100, text("hello"))
			c.nextText(t)
			leave(c)
			if how := e.how(t); how != vera.EndedLost {
				t.Errorf("%s: ended %d", name, how)
			}
		}
	})
}

// reset closes a connection so that the other side sees a reset, where there
// is such a thing.
func reset(conn net.Conn) {
	if outer, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = outer.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// TestACleanCloseIsFoundAlsoWhenWritingFails lets the client close and go at
// once, while the server has much to write.
func TestACleanCloseIsFoundAlsoWhenWritingFails(t *testing.T) {
	for _, b := range backends()[:2] { // a pipe hands nothing over that was not read, TLS no close behind an error
		t.Run(b.name, func(t *testing.T) {
			g := newGroup(t, b.kind, limitsFor())
			for range 50 {
				theirs, ours := b.pipe(t)
				e := newEcho(g, minute)
				e.queue = slices.Repeat([][]byte{[]byte(strings.Repeat("n", 50_000))}, 400) // more than fits on the way
				if _, err := theirs.Write(closeFrame(1000, "")); err != nil {
					t.Fatal(err)
				}
				_ = theirs.Close()
				e.socket.Start(e, ours, nil, nil, nothing)
				if how := e.how(t); how != vera.EndedClean {
					t.Errorf("ended %d", how)
				}
			}
			gone(t, g)
		})
	}
}

func TestAPausedReaderReadsNothingUntilResumed(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, minute)
		e.refuse(true)
		c.send(1000, slices.Concat(text("one"), text("two"), text("three")[:4]))
		c.nextText(t)
		go c.send(1000, slices.Concat(text("three")[4:], text("four")))
		for i, want := range []string{"one", "two", "three", "four"} {
			if heard := e.heard(); len(heard) != i+1 || heard[i] != want {
				t.Fatalf("received %q before it was resumed for the %dth time", heard, i)
			}
			e.socket.Resume()
			if i < 3 {
				c.nextText(t)
			}
		}
		e.refuse(false)
		c.send(1000, text("five"))
		if m := c.nextText(t); m != "five" {
			t.Error(m)
		}
		_ = c.conn.Close()
		e.how(t)
	})
}

func TestAPausedReaderIsFreedWhenTheSocketEnds(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, minute)
		e.refuse(true)
		c.send(1000, text("one"))
		c.nextText(t)
		e.socket.Close(vera.CloseGoingAway, "")
		if code := c.closing(t); code != vera.CloseGoingAway {
			t.Errorf("closed with %d", code)
		}
		if how := e.how(t); how != vera.EndedByServer {
			t.Errorf("ended %d", how)
		}
	})
}

func TestManyWakersLoseNothing(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		const wakers, each = 8, 300
		c, e := start(t, b, g, minute)
		var wg sync.WaitGroup
		for w := range wakers {
			wg.Go(func() {
				for i := range each {
					e.send(fmt.Sprintf("%d %d %s", w, i, strings.Repeat("x", i*i%20_000)))
				}
			})
		}
		next := make([]int, wakers)
		for range wakers * each {
			var w, i int
			if _, err := fmt.Sscan(c.nextText(t), &w, &i); err != nil || next[w] != i {
				t.Fatalf("message %d of waker %d, want %d: %v", i, w, next[w], err)
			}
			next[w]++
		}
		wg.Wait()
		_ = c.conn.Close()
		e.how(t)
	})
}

func TestBigMessagesArriveWhole(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		c, e := start(t, b, g, minute)
		want := []string{}
		for _, n := range []int{10, bigBytes, bigBytes + 1, 0, 3_000_000, 1, bufferBytes, 70_000, 5, 20_000, 20_000, 20_000} {
			want = append(want, strings.Repeat(fmt.Sprint(n%10), n))
		}
		go e.send(want...)
		for i, m := range want {
			if got := c.nextText(t); got != m {
				t.Fatalf("message %d: %d bytes, want %d", i, len(got), len(m))
			}
		}
		_ = c.conn.Close()
		e.how(t)
	})
}

func TestFirstBytesAndBytesReadAhead(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		theirs, ours := b.pipe(t)
		e := newEcho(g, minute)
		e.send("queued before the start")
		ahead := slices.Concat(text("ahead"), text("split")[:5])
		freed := make(chan struct{})
		go e.socket.Start(e, ours, []byte{0x81, 5, 'f', 'i', 'r', 's', 't'}, ahead, func() { close(freed) })
		c := newClient(t, theirs)
		c.send(100, text("split")[5:])
		for _, want := range []string{"first", "queued before the start", "ahead", "split"} {
			if m := c.nextText(t); m != want {
				t.Fatalf("%q, want %q", m, want)
			}
		}
		_ = c.conn.Close()
		e.how(t)
		<-freed
	})
}

func TestASocketMayBeClosedBeforeItStarts(t *testing.T) {
	onEach(t, func(t *testing.T, b backend, g *Group) {
		theirs, ours := b.pipe(t)
		e := newEcho(g, minute)
		e.socket.Close(vera.CloseEnded, "the session ended")
		go e.socket.Start(e, ours, nil, nil, nothing)
		c := newClient(t, theirs)
		if code := c.closing(t); code != vera.CloseEnded {
			t.Errorf("closed with %d", code)
		}
		e.how(t)
	})
}

func TestAClosedGroupStartsNothing(t *testing.T) {
	for _, b := range backends() {
		g := New(Options{Limits: limitsFor(), Backend: b.kind})
		_, before := start(t, b, g, minute)
		g.Close()
		if how := before.how(t); how != vera.EndedLost {
			t.Errorf("ended %d", how)
		}
		c, after := start(t, b, g, minute)
		if how := after.how(t); how != vera.EndedLost {
			t.Errorf("ended %d", how)
		}
		if f := c.next(t); !f.end {
			t.Error(f)
		}
	}
}
