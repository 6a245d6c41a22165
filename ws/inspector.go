package ws

import (
	"context"
	"iter"

	"vera"
)

// Inspector shows an operator what goes on inside the peer. What it returns is
// marshalled to JSON. All methods may be called from any goroutine.
type Inspector interface {
	// Actors tells of each kind: how many, restarts, the deepest mailboxes.
	Actors() any
	// TopActors tells of the n busiest actors.
	TopActors(n int) any
	// ActorTree tells who supervises whom.
	ActorTree() any
	// Actor tells of one actor, and whether there is one of that id.
	Actor(id string) (any, bool)
	// Trace yields what actors receive, of one or, with "", of all, until ctx
	// is done.
	Trace(ctx context.Context, id string) iter.Seq[any]
	// Sessions tells of at most n sessions, those behind the given id.
	Sessions(after vera.SessionID, n int) any
	// Session tells of one session, and whether it lives.
	Session(id vera.SessionID) (any, bool)
	// EndSession ends a session for good and returns when that is applied. It
	// fails with an *vera.Error.
	EndSession(ctx context.Context, id vera.SessionID) error
}
