package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/cluster"
)

// answerWithin is how long a client waits for an answer: the peer's own bound
// for a request without a leader, and a little.
const answerWithin = 5*time.Second + 500*time.Millisecond

// mover is a client that goes on elsewhere when its peer dies: same cookie, same
// session. It belongs to one goroutine.
type mover struct {
	c      *cluster.Cluster
	at     *cluster.Peer
	conn   *client.Connection
	tcp    *wire
	o      client.Options
	cookie string
	moves  int
}

// dialer keeps nothing alive, so that no test leaks a connection.
func (m *mover) dialer() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		m.tcp = &wire{Conn: conn}
		return m.tcp, nil
	}}}
}

// wire is a TCP connection that can be made mute: nothing that its client
// writes arrives from then on, and yet it is open.
type wire struct {
	net.Conn
	dumb atomic.Bool
}

func (w *wire) mute() { w.dumb.Store(true) }

// Write writes, or pretends to.
func (w *wire) Write(p []byte) (int, error) {
	if w.dumb.Load() {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

// connect connects a client to one peer; the test fails if that fails.
func connect(t testing.TB, c *cluster.Cluster, at *cluster.Peer, o client.Options) *mover {
	t.Helper()
	return must[*mover](t)(tryConnect(t, c, at, o))
}

// tryConnect is connect for any goroutine.
func tryConnect(t testing.TB, c *cluster.Cluster, at *cluster.Peer, o client.Options) (*mover, error) {
	m := &mover{c: c, o: o}
	if err := m.dial(at); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", at.Name, err)
	}
	t.Cleanup(func() { m.conn.Abort() })
	return m, nil
}

// dial connects to a peer, with the cookie it has.
func (m *mover) dial(at *cluster.Peer) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	o := m.o
	o.HTTP, o.Cookie = m.dialer(), m.cookie
	conn, err := client.Dial(ctx, "http://"+at.Client, o)
	if err != nil {
		return err
	}
	m.at, m.conn, m.cookie = at, conn, conn.Cookie()
	return nil
}

// move connects to another peer that runs, in the order of the cluster's, until
// one takes it.
func (m *mover) move() error {
	m.conn.Abort()
	m.moves++
	return cluster.Ask(20*time.Second, func() error {
		var errs []error
		for _, p := range m.c.Peers {
			if p == m.at {
				continue
			}
			err := m.dial(p)
			if err == nil {
				return nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
		return errors.Join(errs...)
	})
}

// lost says whether an error means that the connection is over, or never came
// about.
func lost(err error) bool {
	if _, refused := errors.AsType[*vera.Error](err); refused {
		return false
	}
	return err != nil
}

// push pushes with a key, moving on and repeating it when its connection is
// lost. Any other error is returned.
func (m *mover) push(path string, data any, once string) (client.Listing, error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		l, err := m.conn.Push(ctx, path, data, client.Once(once), client.Limit(0))
		cancel()
		if err == nil || !lost(err) || errors.Is(err, context.DeadlineExceeded) {
			return l, err
		}
		if err := m.move(); err != nil {
			return l, err
		}
	}
}

// session asks who this client is.
func (m *mover) session() (client.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	return m.conn.Session(ctx)
}

// must is for what may not fail.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// number is an item's data.
type number struct {
	N int `json:"n"`
}

// numbers reads a list linearizably through any peer that answers.
func numbers(t testing.TB, c *cluster.Cluster, path string) (all []int) {
	t.Helper()
	from := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c.Await("a consistent read", func() error {
		var last error
		for _, p := range c.Running() {
			ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
			r, err := client.Get(ctx, from, "http://"+p.Client, path, client.Consistent())
			cancel()
			if last = err; err != nil {
				continue
			}
			all = nil
			for _, item := range r.Items {
				var n number
				if err := item.Decode(&n); err != nil {
					t.Fatal(err)
				}
				all = append(all, n.N)
			}
			return nil
		}
		return last
	})
	return all
}
