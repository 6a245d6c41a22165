package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"vera"

	"github.com/coder/websocket"
)

// Connection is one WebSocket to a peer. All its methods may be called from
// any goroutine. Who dialled it ends it: with Close, Leave or Abort.
type Connection struct {
	socket *websocket.Conn
	queue  int
	trace  func(sent bool, message []byte)
	hooks  hooks
	cookie string

	suspended atomic.Bool
	done      chan struct{} // closed by the reading goroutine, as its last deed

	sending sync.Mutex // held while a rid is taken and its message written: rids leave in order
	rid     uint64     // the last one used

	mu      sync.Mutex // guards what follows; never held while anything waits
	waiting map[uint64]*Pending
	watches map[string]*Watch
	over    *Closed // set before done is closed
}

// Closed says how a connection ended.
type Closed struct {
	// Code is the code of the Close frame that came, vera.CloseEmpty when
	// it had none; vera.CloseNone when none came.
	Code   vera.CloseCode
	Reason string
	Cause  error // of the connection's end as the socket saw it
}

// Error returns the code and the reason, or the cause.
func (c *Closed) Error() string {
	if c.Code == vera.CloseNone {
		return fmt.Sprintf("connection lost: %v", c.Cause)
	}
	return fmt.Sprintf("connection closed with %d %s", c.Code, c.Reason)
}

// Unwrap returns the cause.
func (c *Closed) Unwrap() error { return c.Cause }

// Cookie returns the session's cookie, "name=value". It is a secret: whoever
// has it has the session.
func (c *Connection) Cookie() string { return c.cookie }

// Suspended says whether the peer told that it is out of touch with the
// majority: nothing can be committed or confirmed there.
func (c *Connection) Suspended() bool { return c.suspended.Load() }

// Done is closed when the connection is over.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Err returns nil while the connection lives, then a *Closed.
func (c *Connection) Err() error {
	select {
	case <-c.done:
		return c.over
	default:
		return nil
	}
}

// Close says goodbye on purpose, with 1000: if this is the session's last
// connection, the session ends at once and its items go.
func (c *Connection) Close() error { return c.CloseWith(vera.CloseDone, "") }

// Leave goes away with 1001, as a page does that is reloaded: the session
// stays for its grace.
func (c *Connection) Leave() error { return c.CloseWith(vera.CloseGoingAway, "") }

// CloseWith writes a Close frame with that code, or without one for
// vera.CloseNone, and waits for the server's, five seconds at most.
func (c *Connection) CloseWith(code vera.CloseCode, reason string) error {
	if code == vera.CloseNone {
		code = vera.CloseEmpty
	}
	err := c.socket.Close(websocket.StatusCode(code), reason)
	<-c.done
	return err
}

// Abort cuts the connection without a word.
func (c *Connection) Abort() {
	_ = c.socket.CloseNow() // its error says only that the connection was over already
	<-c.done
}

// hooks let a Client hear of a connection. They are called on the reading
// goroutine, in the order of what came, and hold it up while they run. A nil
// one is not called.
type hooks struct {
	told   func(Notification) // takes the place of the Watches
	stated func(suspended bool)
	ended  func(*Closed) // the last call
}

// Pending is a request that was sent.
type Pending struct {
	connection *Connection
	rid        uint64
	action     vera.Action
	path       string
	answered   chan struct{} // closed when answer and failure are set
	answer     []byte
	failure    error                              // a refusal, with answer; or the connection's end, without
	then       func(answer []byte, refused error) // called with the answer on the reading goroutine, never after the connection's end; nil: nobody asks
}

// send writes r and returns what will be answered. A context that ends while
// the message is being written ends the connection.
func (c *Connection) send(ctx context.Context, r request, then func([]byte, error)) (*Pending, error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.rid++
	r.RID = c.rid
	message, err := encode(&r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Action, err)
	}
	p := &Pending{connection: c, rid: r.RID, action: r.Action, path: r.Path, answered: make(chan struct{}), then: then}
	c.mu.Lock()
	if c.over != nil {
		c.mu.Unlock()
		return nil, c.over
	}
	c.waiting[p.rid] = p
	c.mu.Unlock()
	if c.trace != nil {
		c.trace(true, message)
	}
	if err := c.socket.Write(ctx, websocket.MessageText, message); err != nil {
		c.forget(p)
		if over := c.Err(); over != nil {
			return nil, over
		}
		return nil, fmt.Errorf("%s: %w", r.Action, err)
	}
	return p, nil
}

func (c *Connection) forget(p *Pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, p.rid)
}

// wait returns the answer. Both it and an error are returned when the server
// refused.
func (p *Pending) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-p.answered:
		return p.answer, p.failure
	case <-ctx.Done():
		p.connection.forget(p)
		return nil, ctx.Err()
	}
}

// Listing waits for the answer of a get, a push, a watch or an update. With
// PreconditionFailed the list as it is comes beside the error.
func (p *Pending) Listing(ctx context.Context) (l Listing, err error) {
	return l, p.decode(ctx, &l)
}

func (p *Pending) decode(ctx context.Context, into any) error {
	answer, err := p.wait(ctx)
	if answer == nil {
		return err
	}
	if wrong := json.Unmarshal(answer, into); wrong != nil {
		return fmt.Errorf("%s: the server's answer: %w", p.action, wrong)
	}
	return err
}

// read is the connection's goroutine: it takes messages until there are none.
func (c *Connection) read() {
	for {
		kind, message, err := c.socket.Read(context.Background())
		if err == nil && kind != websocket.MessageText {
			err = errors.New("the server sent a binary message")
		}
		if err == nil {
			if c.trace != nil {
				c.trace(false, message)
			}
			err = c.take(message)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// take gives one message to whom it belongs.
func (c *Connection) take(message []byte) error {
	var e envelope
	if err := json.Unmarshal(message, &e); err != nil {
		return fmt.Errorf("the server's message: %w", err)
	}
	switch {
	case e.Action == vera.ActionNotify:
		var n Notification
		if err := json.Unmarshal(message, &n); err != nil {
			return fmt.Errorf("the server's notification: %w", err)
		}
		if c.hooks.told != nil {
			c.hooks.told(n)
		} else {
			c.watch(n.Path).put(n)
		}
	case e.Action == vera.ActionState:
		c.suspended.Store(e.State == "suspended")
		if c.hooks.stated != nil {
			c.hooks.stated(e.State == "suspended")
		}
	default:
		c.answer(&e, message)
	}
	return nil
}

// answer settles the request that e answers. One whose caller went away is
// dropped.
func (c *Connection) answer(e *envelope, message []byte) {
	rid, err := strconv.ParseUint(string(e.RID), 10, 64)
	if err != nil {
		return
	}
	c.mu.Lock()
	p := c.waiting[rid]
	delete(c.waiting, rid)
	c.mu.Unlock()
	if p == nil {
		return
	}
	p.answer, p.failure = message, e.refusal()
	if p.failure == nil {
		c.watchAnswered(p)
	}
	close(p.answered)
	if p.then != nil {
		p.then(p.answer, p.failure)
	}
}

// end tells everybody who waits that the connection is over.
func (c *Connection) end(cause error) {
	over := &Closed{Cause: cause}
	if frame, is := errors.AsType[websocket.CloseError](cause); is {
		over.Code, over.Reason = vera.CloseCode(frame.Code), frame.Reason
	}
	c.mu.Lock()
	c.over = over
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, p := range waiting {
		p.failure = over
		close(p.answered)
	}
	_ = c.socket.CloseNow() // releases the socket when reading failed; nothing else may be learnt from it
	close(c.done)
	if c.hooks.ended != nil {
		c.hooks.ended(over)
	}
}
