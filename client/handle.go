package client

import (
	"context"
	"crypto/rand"
	"fmt"

	"vera"
)

// Handle is an item that a Client holds. It keeps its version and its place for
// as long as it is there.
type Handle struct {
	client  *Client
	path    string
	version uint64
	lost    chan struct{} // closed when reason is set

	reason   string // why it is gone; "": it is held. The loop's, and anybody's once lost is closed
	removing bool   // the loop's
}

// Path returns the path of its list.
func (h *Handle) Path() string { return h.path }

// Version returns its version, which is its fencing number.
func (h *Handle) Version() uint64 { return h.version }

// Lost is closed when the item is known to be gone, for good.
func (h *Handle) Lost() <-chan struct{} { return h.lost }

// Reason says why it is gone: removed (by this client), expired (the session
// ended while no connection was there), ended (the session ended), or closed
// (the client was). It is "" while the item is held.
func (h *Handle) Reason() string {
	select {
	case <-h.lost:
		return h.reason
	default:
		return ""
	}
}

// lose is called by the loop when the item is gone.
func (h *Handle) lose(reason string) {
	if h.reason == "" {
		h.reason = reason
		close(h.lost)
	}
}

// lose takes an item out of the books.
func (c *Client) lose(h *Handle, reason string) {
	delete(c.held, Held{h.path, h.version})
	h.lose(reason)
	c.endElectionsOf(h, fmt.Errorf("%s: item %d is gone (%s): %w", h.path, h.version, reason, ErrSessionEnded))
}

// gone is what becomes of a task about an item that is gone.
func (h *Handle) gone(t *task) outcome {
	switch {
	case t.request.Action == vera.ActionRemove:
		return outcome{}
	case h.reason == "removed":
		return outcome{err: vera.Errorf(vera.NotFound, "%s: item %d was removed", h.path, h.version)}
	}
	return outcome{err: fmt.Errorf("%s: item %d: %w", h.path, h.version, ErrSessionEnded)}
}

func (h *Handle) removal() *task {
	return &task{request: request{Action: vera.ActionRemove, Path: h.path, Version: h.version}, handle: h, keep: true}
}

// Update replaces the item's data, which must become a JSON object. When
// several updates wait to be sent, only the newest is, and all have its answer.
func (h *Handle) Update(ctx context.Context, data any, options ...Option) (Listing, error) {
	raw, err := encode(data)
	if err != nil {
		return Listing{}, fmt.Errorf("update: data: %w", err)
	}
	t := &task{request: request{Action: vera.ActionUpdate, Path: h.path, Version: h.version, Data: raw}, handle: h}
	o, err := h.client.submit(ctx, t.with(options))
	return o.listing, err
}

// Remove gives the item up, and an election that it stands in. One that is gone
// is no error. It is removed even if ctx is done before the answer.
func (h *Handle) Remove(ctx context.Context, options ...Option) error {
	_, err := h.client.submit(ctx, h.removal().with(options))
	return err
}

func (t *task) with(options []Option) *task {
	for _, option := range options {
		option(&t.request)
	}
	return t
}

// Push puts data, which must become a JSON object, onto a list as an item of
// this session, once. It goes on trying until ctx is done, over all
// connections that are lost, but not beyond the session's life: then it fails
// with ErrSessionEnded, and may have been done in the life that is over. If
// ctx is done first, an item that was pushed all the same is removed, unless
// the caller gave a key with Once. An error of vera.PreconditionFailed comes
// with the list as it is.
func (c *Client) Push(ctx context.Context, path string, data any, options ...Option) (*Handle, Listing, error) {
	raw, err := encode(data)
	if err != nil {
		return nil, Listing{}, fmt.Errorf("push: data: %w", err)
	}
	t := (&task{request: request{Action: vera.ActionPush, Path: path, Data: raw}}).with(options)
	if t.request.Once == "" {
		t.request.Once, t.clean = rand.Text(), true
	}
	o, err := c.submit(ctx, t)
	return o.handle, o.listing, err
}

// Get reads a list, at least as new as anything that this client did; with
// Consistent, as it is.
func (c *Client) Get(ctx context.Context, path string, options ...Option) (Listing, error) {
	t := (&task{request: request{Action: vera.ActionGet, Path: path}}).with(options)
	o, err := c.submit(ctx, t)
	return o.listing, err
}
