package client

import (
	"context"
	"fmt"
	"time"

	"vera"
)

// ask sends r and waits for its answer, which is decoded.
func (c *Connection) ask(ctx context.Context, r request, options []Option, into any) error {
	p, err := c.begin(ctx, r, options)
	if err != nil {
		return err
	}
	return p.decode(ctx, into)
}

func (c *Connection) begin(ctx context.Context, r request, options []Option) (*Pending, error) {
	for _, option := range options {
		option(&r)
	}
	return c.send(ctx, r, nil)
}

// Get reads a list: as this peer has it or, with Consistent, as it is.
func (c *Connection) Get(ctx context.Context, path string, options ...Option) (l Listing, err error) {
	return l, c.ask(ctx, request{Action: vera.ActionGet, Path: path}, options, &l)
}

// Push puts data, which must become a JSON object, onto a list as an item of
// this session. The answer's Version is the item's. An error of
// vera.PreconditionFailed comes with the list as it is.
func (c *Connection) Push(ctx context.Context, path string, data any, options ...Option) (Listing, error) {
	p, err := c.StartPush(ctx, path, data, options...)
	if err != nil {
		return Listing{}, err
	}
	return p.Listing(ctx)
}

// StartPush sends a push and does not wait for its answer, so that many can be
// under way. Pushes are committed in the order in which one goroutine starts them.
func (c *Connection) StartPush(ctx context.Context, path string, data any, options ...Option) (*Pending, error) {
	raw, err := encode(data)
	if err != nil {
		return nil, fmt.Errorf("push: data: %w", err)
	}
	return c.begin(ctx, request{Action: vera.ActionPush, Path: path, Data: raw}, options)
}

// Update replaces the data of an item that this session holds. It keeps its
// version and its place.
func (c *Connection) Update(ctx context.Context, path string, version uint64, data any, options ...Option) (l Listing, err error) {
	raw, err := encode(data)
	if err != nil {
		return l, fmt.Errorf("update: data: %w", err)
	}
	return l, c.ask(ctx, request{Action: vera.ActionUpdate, Path: path, Version: version, Data: raw}, options, &l)
}

// Remove gives up an item that this session holds. Of one that is gone it is
// not an error.
func (c *Connection) Remove(ctx context.Context, path string, version uint64, options ...Option) (l Listing, err error) {
	return l, c.ask(ctx, request{Action: vera.ActionRemove, Path: path, Version: version}, options, &l)
}

// Session says what this client is and what it holds.
func (c *Connection) Session(ctx context.Context) (s Session, err error) {
	return s, c.ask(ctx, request{Action: vera.ActionSession}, nil, &s)
}

// Ping asks for how long the session's items are sure to stay.
func (c *Connection) Ping(ctx context.Context) (Safe, error) {
	var answer struct {
		SafeMs int64  `json:"safeMs"`
		Index  uint64 `json:"index"`
	}
	safe := Safe{Sent: time.Now()}
	err := c.ask(ctx, request{Action: vera.ActionPing}, nil, &answer)
	safe.For, safe.Index = time.Duration(answer.SafeMs)*time.Millisecond, answer.Index
	return safe, err
}

// End ends the session now, for all its connections, by asking for it; the
// server closes them.
func (c *Connection) End(ctx context.Context) error {
	var answer struct{}
	return c.ask(ctx, request{Action: vera.ActionClose}, nil, &answer)
}
