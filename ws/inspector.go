package ws

import (
	"context"
	"iter"

	"vera"
)

// Inspector shows an operator what goes on inside the peer. What it returns is
// marshalled to JSON. All methods may be called from any goroutine. Their errors
// are *vera.Error: NotFound for an id that nothing has, Unavailable when it is
// not told in time.
type Inspector interface {
	// Actors tells of each kind: how many, restarts, the deepest mailboxes.
	Actors() any
	// TopActors tells of the n busiest actors.
	TopActors(n int) any
	// ActorTree tells who supervises whom.
	ActorTree() any
	// Actor tells of one actor.
	Actor(ctx context.Context, id string) (any, error)
	// Trace yields what one actor handles, until ctx is done.
	Trace(ctx context.Context, id string) (iter.Seq[any], error)
	// Sessions tells of at most n sessions, those behind the given id.
	Sessions(after vera.SessionID, n int) any
	// Session tells of one session.
	Session(ctx context.Context, id vera.SessionID) (any, error)
	// EndSession ends a session for good and returns when that is applied.
	EndSession(ctx context.Context, id vera.SessionID) error
}
