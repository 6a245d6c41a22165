package actors

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"vera"
)

// Event is one message that a traced actor handled.
type Event struct {
	At      time.Time     `json:"at"`
	Message string        `json:"message"` // its type
	Took    time.Duration `json:"tookNs"`
	Waiting int           `json:"waiting"` // messages behind it, about
}

// tracer collects what one actor handles. The actor never waits for it.
type tracer struct {
	left   atomic.Int64
	events chan Event
}

// maxTrace is how many messages one trace may cover.
const maxTrace = 10_000

// Trace yields the next messages that an actor handles, counted from 0, as
// they are handled: n of them, 1 to 10,000, or until the context ends. One
// actor is traced by one caller at a time; the trace ends with the loop.
func (y *System) Trace(ctx context.Context, id string, n int) (iter.Seq2[int, Event], error) {
	if n < 1 || n > maxTrace {
		return nil, vera.Errorf(vera.InvalidParameter, "count: 1 to %d messages", maxTrace)
	}
	b, err := y.find(id)
	if err != nil {
		return nil, err
	}
	if b.hook.Load() != nil {
		return nil, vera.Errorf(vera.TooManyRequests, "id: the actor is traced already")
	}
	return func(yield func(int, Event) bool) {
		t := &tracer{events: make(chan Event, n)}
		t.left.Store(int64(n))
		if !b.hook.CompareAndSwap(nil, t) {
			return
		}
		defer b.hook.Store(nil)
		for i := range n {
			select {
			case e := <-t.events:
				if !yield(i, e) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}, nil
}

// watched handles a message for whoever looks on.
func (b *mailbox) watched(hook *tracer, fault *func(message), m message) {
	if fault != nil {
		(*fault)(m)
	}
	if hook == nil {
		b.invoker.InvokeUserMessage(m)
		return
	}
	at, name := time.Now(), fmt.Sprintf("%T", m)
	b.invoker.InvokeUserMessage(m)
	if hook.left.Add(-1) >= 0 {
		hook.events <- Event{At: at, Message: name, Took: time.Since(at), Waiting: b.depth()}
	}
}
