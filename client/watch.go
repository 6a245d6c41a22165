package client

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"vera"
)

// ErrUnwatched ends a Watch that was given up.
var ErrUnwatched = errors.New("the list is not watched any more")

// Watch gives out what a connection is told of one list. One goroutine at a
// time may take from it.
type Watch struct {
	path       string
	connection *Connection
	limit      int           // notifications that wait before they are merged
	more       chan struct{} // holds a mark when something came

	mu        sync.Mutex
	queue     []Notification
	unwatched bool
}

// Path returns the list's path.
func (w *Watch) Path() string { return w.path }

// Watch begins to watch a list, for this session: it lasts until Unwatch or
// the session's end, over lost connections too. The Listing is the list at the
// moment the watch began; every later change follows in the Watch.
func (c *Connection) Watch(ctx context.Context, path string, options ...Option) (*Watch, Listing, error) {
	p, err := c.begin(ctx, request{Action: vera.ActionWatch, Path: path}, options)
	if err != nil {
		return nil, Listing{}, err
	}
	l, err := p.Listing(ctx)
	if err != nil {
		return nil, l, err
	}
	return c.watch(path), l, nil
}

// Watched returns the Watch of a list that the session watched already when
// this connection began. What came since then waits in it: first a reset.
func (c *Connection) Watched(path string) *Watch { return c.watch(path) }

// Unwatch gives up watching a list. What waits in its Watch can still be taken.
func (c *Connection) Unwatch(ctx context.Context, path string) error {
	var answer struct{}
	return c.ask(ctx, request{Action: vera.ActionUnwatch, Path: path}, nil, &answer)
}

func (c *Connection) watch(path string) *Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watches[path]
	if w == nil {
		w = &Watch{path: path, connection: c, limit: c.queue, more: make(chan struct{}, 1)}
		c.watches[path] = w
	}
	return w
}

// watchAnswered is called on the reading goroutine when p was answered with
// OK, before anything that came behind it is read: what still waits is then
// older than the answer.
func (c *Connection) watchAnswered(p *Pending) {
	switch p.action {
	case vera.ActionWatch:
		w := c.watch(p.path)
		w.mu.Lock()
		w.queue = nil
		w.mu.Unlock()
	case vera.ActionUnwatch:
		w := c.watch(p.path)
		c.mu.Lock()
		delete(c.watches, p.path)
		c.mu.Unlock()
		w.mu.Lock()
		w.unwatched = true
		w.mu.Unlock()
		mark(w.more)
	}
}

// mark leaves a mark in a channel of capacity 1, unless there is one.
func mark(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds a notification, merging when too many wait.
func (w *Watch) put(n Notification) {
	w.mu.Lock()
	w.queue = queued(w.queue, n, w.limit)
	w.mu.Unlock()
	mark(w.more)
}

// Next waits for the next notification. After the connection's end, or
// Unwatch, what still waits is given out first, then the *Closed or
// ErrUnwatched.
func (w *Watch) Next(ctx context.Context) (Notification, error) {
	for {
		over := w.connection.Err() // asked before the queue: what came before the end is in there by then
		w.mu.Lock()
		if len(w.queue) > 0 {
			n := w.queue[0]
			w.queue = slices.Delete(w.queue, 0, 1)
			w.mu.Unlock()
			return n, nil
		}
		unwatched := w.unwatched
		w.mu.Unlock()
		if unwatched {
			return Notification{}, ErrUnwatched
		}
		if over != nil {
			return Notification{}, over
		}
		select {
		case <-w.more:
		case <-w.connection.done:
		case <-ctx.Done():
			return Notification{}, ctx.Err()
		}
	}
}

// All returns the notifications as they come; the last pair has the error
// that Next returned.
func (w *Watch) All(ctx context.Context) iter.Seq2[Notification, error] {
	return func(yield func(Notification, error) bool) {
		for {
			n, err := w.Next(ctx)
			if !yield(n, err) || err != nil {
				return
			}
		}
	}
}
