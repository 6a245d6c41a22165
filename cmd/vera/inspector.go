package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"vera"
	"vera/actors"
)

// inspector shows the operator the actors and what the log knows.
type inspector struct{ actors *actors.System }

// askFor bounds how long an actor may take to tell of itself.
const askFor = 2 * time.Second

// tracedAtMost is how many messages one trace shows.
const tracedAtMost = 10_000

// Actors tells of each kind.
func (i *inspector) Actors() any { return i.actors.Kinds() }

// TopActors tells of the actors with the deepest mailboxes.
func (i *inspector) TopActors(n int) any { return i.actors.Top(n) }

// ActorTree tells who supervises whom.
func (i *inspector) ActorTree() any { return i.actors.Tree() }

// Actor tells of one actor.
func (i *inspector) Actor(ctx context.Context, id string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	seen, err := i.actors.Actor(ctx, id)
	return seen, told(err)
}

// told makes an error one for the operator: what is no refusal is an actor that
// is too busy to tell of itself.
func told(err error) error {
	if _, refused := errors.AsType[*vera.Error](err); refused || err == nil {
		return err
	}
	return vera.Errorf(vera.Unavailable, "no answer: %v", err)
}

// Trace yields what one actor handles, until ctx is done.
func (i *inspector) Trace(ctx context.Context, id string) (iter.Seq[any], error) {
	events, err := i.actors.Trace(ctx, id, tracedAtMost)
	if err != nil {
		return nil, told(err)
	}
	return func(yield func(any) bool) {
		for _, e := range events {
			if !yield(e) {
				return
			}
		}
	}, nil
}

// Sessions tells of at most n sessions, in the order of their ids.
func (i *inspector) Sessions(after vera.SessionID, n int) any {
	return i.actors.SessionsAfter(after, n)
}

// Session tells of one session.
func (i *inspector) Session(ctx context.Context, id vera.SessionID) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	seen, err := i.actors.SessionOf(ctx, id)
	return seen, told(err)
}

// EndSession ends a session for all its connections.
func (i *inspector) EndSession(ctx context.Context, id vera.SessionID) error {
	return i.actors.EndSession(ctx, id)
}
