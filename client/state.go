package client

import (
	"context"
	"iter"
	"sync"
)

// State is how a Client stands.
type State string

// The states of a Client.
const (
	StateConnecting State = "connecting" // there is no connection now
	StateConnected  State = "connected"
	StateSuspended  State = "suspended" // connected, and every peer that it is connected to has lost the majority
	StateClosed     State = "closed"    // for good: Err says why
)

// shown is what callers may read at any time. The loop writes it.
type shown struct {
	mu      sync.Mutex
	state   State
	session Session
	cookie  string
	changed chan struct{} // closed when state changes
}

// show tells callers how the client stands, and elections whether there is
// doubt.
func (c *Client) show() {
	state := c.state()
	c.shown.mu.Lock()
	changed := state != c.shown.state
	c.shown.cookie = c.o.Cookie
	if changed {
		c.shown.state = state
		close(c.shown.changed)
		c.shown.changed = make(chan struct{})
	}
	c.shown.mu.Unlock()
	if changed {
		for e := range c.elections {
			e.doubted(state != StateConnected)
		}
	}
}

func (c *Client) state() State {
	state := StateConnecting
	if c.final != nil {
		return StateClosed
	}
	for _, l := range c.links {
		switch {
		case l.stage != ready:
		case !l.suspended:
			return StateConnected
		default:
			state = StateSuspended
		}
	}
	return state
}

// standing counts the links that are ready.
func (c *Client) standing() (n int) {
	for _, l := range c.links {
		if l.stage == ready {
			n++
		}
	}
	return n
}

// State returns how the client stands.
func (c *Client) State() State {
	state, _ := c.look()
	return state
}

func (c *Client) look() (State, <-chan struct{}) {
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	if c.shown.state == "" {
		return StateConnecting, c.shown.changed
	}
	return c.shown.state, c.shown.changed
}

// States returns the state as it is and then as it changes, until ctx is done
// or the client is closed, which is the last. Who takes slowly is told the
// latest only.
func (c *Client) States(ctx context.Context) iter.Seq[State] {
	return func(yield func(State) bool) {
		last := State("")
		for {
			state, changed := c.look()
			if state != last && !yield(state) || state == StateClosed {
				return
			}
			last = state
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Session returns what a peer said last of what this client is and holds: each
// time that a connection was made.
func (c *Client) Session() Session {
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	return c.shown.session
}

// Cookie returns the session's cookie, "name=value". It is a secret: whoever
// has it has the session.
func (c *Client) Cookie() string {
	c.shown.mu.Lock()
	defer c.shown.mu.Unlock()
	return c.shown.cookie
}
