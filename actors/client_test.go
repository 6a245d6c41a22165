package actors

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera"
)

// item is an item as a client reads it.
type item struct {
	Version uint64
	Updated uint64
	Session string
	Owner   string
	Reason  string
	Data    json.RawMessage
}

// told is any message as a client reads it.
type told struct {
	RID      string
	Action   string
	Path     string
	Code     vera.Code
	Message  string
	Applied  any
	Index    uint64
	ETag     string
	Version  uint64
	Total    int
	Reset    bool
	State    string
	SafeMs   int64
	GraceMs  int64
	Resumed  bool
	Session  string
	Items    *[]item // or those that a session holds
	Watches  []vera.Watched
	Added    []item
	Updated  []item
	Removed  []item
	received int
}

// client is a fake socket with a client at its other end. A slow one takes
// nothing until it is told to.
type client struct {
	t    testing.TB
	conn vera.Connection
	slow atomic.Bool

	writing atomic.Int32 // wakes that the present writer has to look at
	resumes atomic.Int32
	pulled  func(message []byte) // instead of keeping it

	mu     sync.Mutex
	news   chan struct{} // closed and replaced with every message
	all    []told
	closed vera.CloseCode
	once   sync.Once
	rids   int
}

func newClient(t testing.TB) *client { return &client{t: t, news: make(chan struct{})} }

// Wake pulls at once, as one writer of many callers.
func (c *client) Wake() {
	if c.slow.Load() || c.writing.Add(1) > 1 {
		return
	}
	for {
		seen := c.writing.Load()
		if c.conn != nil {
			c.pull(64 << 10)
		}
		if c.writing.CompareAndSwap(seen, 0) {
			return
		}
	}
}

func (c *client) pull(max int) {
	for {
		batch := c.conn.Pull(nil, max)
		if len(batch) == 0 {
			return
		}
		for _, message := range batch {
			c.take(message)
		}
	}
}

func (c *client) take(message []byte) {
	if c.pulled != nil {
		c.pulled(message)
		return
	}
	var m told
	if err := json.Unmarshal(message, &m); err != nil {
		c.t.Errorf("not JSON: %s: %v", message, err)
	}
	c.mu.Lock()
	m.received = len(c.all)
	c.all = append(c.all, m)
	close(c.news)
	c.news = make(chan struct{})
	c.mu.Unlock()
}

func (c *client) Resume() { c.resumes.Add(1) }

// Close takes what is left and goes.
func (c *client) Close(code vera.CloseCode, _ string) {
	c.once.Do(func() {
		go func() {
			if !c.slow.Load() {
				c.Wake()
			}
			c.mu.Lock()
			c.closed = code
			close(c.news)
			c.news = make(chan struct{})
			c.mu.Unlock()
			how := vera.EndedLost
			if code == vera.CloseGoingAway || code == vera.CloseTryLater {
				how = vera.EndedByServer
			}
			c.conn.Closed(how)
		}()
	})
}

// leave ends the connection from the client's side.
func (c *client) leave(how vera.Ending) { c.once.Do(func() { c.conn.Closed(how) }) }

// send sends a request and returns its rid.
func (c *client) send(format string, args ...any) string {
	c.mu.Lock()
	c.rids++
	rid := strconv.Itoa(c.rids)
	c.mu.Unlock()
	c.conn.Receive(fmt.Appendf(nil, `{"rid":"`+rid+`",`+format+`}`, args...))
	return rid
}

// wait returns the first message from a place on for which is holds.
func (c *client) wait(from int, what string, is func(*told) bool) told {
	c.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		news := c.news
		for i := from; i < len(c.all); i++ {
			if is(&c.all[i]) {
				m := c.all[i]
				c.mu.Unlock()
				return m
			}
		}
		from = len(c.all)
		c.mu.Unlock()
		select {
		case <-news:
		case <-deadline:
			c.t.Fatalf("never told: %s; told %+v", what, c.messages())
		}
	}
}

// ask sends a request and waits for the answer.
func (c *client) ask(format string, args ...any) told {
	c.t.Helper()
	return c.answer(c.send(format, args...))
}

func (c *client) answer(rid string) told {
	c.t.Helper()
	return c.wait(0, "answer "+rid, func(m *told) bool { return m.RID == rid })
}

// ok is ask for what must succeed.
func (c *client) ok(format string, args ...any) told {
	c.t.Helper()
	m := c.ask(format, args...)
	if m.Code != vera.OK {
		c.t.Fatalf("%s: %+v", fmt.Sprintf(format, args...), m)
	}
	return m
}

func (c *client) push(path, data string) told {
	c.t.Helper()
	return c.ok(`"action":"push","path":%q,"data":%s`, path, data)
}

// notified waits for the next notification behind a message.
func (c *client) notified(after told) told {
	c.t.Helper()
	return c.wait(after.received+1, "a notification", func(m *told) bool { return m.Action == "notify" })
}

func (c *client) messages() []told {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]told(nil), c.all...)
}

// closedWith waits for the code with which the server closed.
func (c *client) closedWith() vera.CloseCode {
	c.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		code, news := c.closed, c.news
		c.mu.Unlock()
		if code != 0 {
			return code
		}
		select {
		case <-news:
		case <-deadline:
			c.t.Fatalf("never closed; told %+v", c.messages())
		}
	}
}

func sessionID(name string) vera.SessionID {
	sum := sha256.Sum256([]byte(name))
	return vera.SessionID(sum[:16])
}

// hello is what a client that has never been here says.
func hello(name string) vera.Hello {
	return vera.Hello{Session: sessionID(name), Owner: "10.0.0.1", Grace: 2 * time.Second, Heartbeat: 10 * time.Second}
}

// again is what it says when it comes back.
func again(h vera.Hello) vera.Hello {
	h.Offered = true
	return h
}

// connect brings a client to a system.
func connect(t testing.TB, y *System, h vera.Hello) *client {
	t.Helper()
	c := newClient(t)
	attach(t, y, h, c)
	return c
}

// door gives a socket its connection before anything can be pulled through it.
type door struct {
	*client
	ready, failed chan struct{}
}

func (d *door) Wake() {
	select {
	case <-d.ready:
		d.client.Wake()
	default:
	}
}

func (d *door) Close(code vera.CloseCode, reason string) {
	go func() {
		select {
		case <-d.ready:
			d.client.Close(code, reason)
		case <-d.failed:
		}
	}()
}

func attach(t testing.TB, y *System, h vera.Hello, c *client) {
	t.Helper()
	if err := c.connect(y, h); err != nil {
		t.Fatalf("connect: %v", err)
	}
}

func (c *client) connect(y *System, h vera.Hello) error {
	d := &door{c, make(chan struct{}), make(chan struct{})}
	conn, err := y.Connect(context.Background(), h, d)
	if err != nil {
		close(d.failed)
		return err
	}
	c.conn = conn
	close(d.ready)
	c.Wake()
	return nil
}
