package client

import (
	"context"
)

// Leader waits until this election leads, and returns a context for the work
// of the leader, a child of ctx. It is cancelled before the item can have been
// removed on the server; context.Cause is ErrDoubt when that is for time, and
// Leader may then be called again, or what Err returns. Its Err looks at the
// clock: it is not nil from the moment on that work must have stopped, even if
// no timer could run.
//
// When the election is over the error is why.
func (e *Election) Leader(ctx context.Context) (context.Context, error) {
	for {
		e.mu.Lock()
		e.settle()
		l, turned, final := e.leads, e.turned, e.final
		e.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case final != nil:
			return nil, final
		case l != nil:
			return e.leading(ctx, l), nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// leading is the context of a leadership.
type leading struct {
	context.Context // is cancelled with the leadership's cause
	cancel          context.CancelCauseFunc
	election        *Election
	leadership      *leadership
}

func (e *Election) leading(ctx context.Context, l *leadership) *leading {
	inner, cancel := context.WithCancelCause(ctx)
	c := &leading{inner, cancel, e, l}
	go func() {
		select {
		case <-l.over:
			cancel(l.cause)
		case <-inner.Done():
		}
	}()
	return c
}

// Err returns nil while the work may go on, by the clock.
func (l *leading) Err() error {
	l.election.mu.Lock()
	l.election.settle()
	l.election.mu.Unlock()
	select {
	case <-l.leadership.over:
		l.cancel(l.leadership.cause)
	default:
	}
	return l.Context.Err()
}
