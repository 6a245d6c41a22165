package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vera"
	"vera/raft/state"
)

// Get reads a list; see vera.Service.
func (y *System) Get(ctx context.Context, r vera.Read) (vera.Listing, error) {
	if r.Consistent {
		if err := y.confirmed(ctx); err != nil {
			return vera.Listing{}, err
		}
	}
	if err := y.reached(ctx, r.MinIndex); err != nil {
		return vera.Listing{}, err
	}
	l, index := y.list(r.Path)
	return l.Listing(index, r.Limit), nil
}

// confirmed waits until this peer has applied all that was committed anywhere
// before.
func (y *System) confirmed(ctx context.Context) error {
	word := make(chan error, 1)
	y.log.Barrier(func(_ uint64, err error) {
		if err != nil {
			err = y.refusal(err)
		}
		word <- err
	})
	return y.await(ctx, word)
}

// reached waits until this peer has applied an index.
func (y *System) reached(ctx context.Context, index uint64) error {
	if index <= y.log.Machine().Applied() {
		return nil
	}
	word := make(chan error, 1)
	cancel := y.log.WhenApplied(index, func() { word <- nil })
	defer cancel()
	err := y.await(ctx, word)
	if refused, ok := errors.AsType[*vera.Error](err); ok && refused.Code == vera.Unavailable && refused != errStopping {
		return &vera.Error{Code: refused.Code, Message: fmt.Sprintf("index: %d was not reached here within %v", index, y.limits.Leader), Applied: vera.AppliedNo}
	}
	return err
}

// Session says what a client is and holds; see vera.Service.
func (y *System) Session(_ context.Context, h vera.Hello) (vera.SessionInfo, error) {
	info := y.info(h, y.log.Machine().Applied())
	living := y.log.Machine().Session(h.Session)
	if living == nil {
		return info, nil
	}
	info.Resumed = true
	info.Grace = living.Grace()
	info.Items, info.Watches = held(living), living.Watches()
	return info, nil
}

// assured is the grace that a session has from now on, whatever happens: the
// one of its attachments. While it is missed everywhere its grace runs already,
// nobody here can say how far.
func assured(s *state.Session) (grace time.Duration) {
	for _, a := range s.Attachments() {
		grace = max(grace, a.Grace)
	}
	return grace
}

// Follow begins to watch a list; see vera.Service. An index in the future is
// waited for.
func (y *System) Follow(ctx context.Context, r vera.Read) (vera.Follower, error) {
	if y.closed.Load() {
		return nil, errStopping
	}
	if r.Path == vera.PeersPath {
		r.Since = 0 // its etag is no index
	}
	if r.Consistent {
		if err := y.confirmed(ctx); err != nil {
			return nil, err
		}
	}
	if err := y.reached(ctx, max(r.Since, r.MinIndex)); err != nil {
		return nil, err
	}
	f := &follower{system: y, pending: make(chan struct{}, 1), stopped: make(chan struct{})}
	f.lookout = lookout{path: r.Path, owner: f}
	y.followers.Add(1)
	in := make(chan error, 1)
	y.watchShardOf(r.Path).box.lend(&joining{
		lookout: &f.lookout, limit: r.Limit, items: true, in: func(*joining) { in <- nil },
	})
	if err := y.await(ctx, in); err != nil {
		f.Close()
		return nil, err
	}
	f.begin(r.Since)
	return f, nil
}

// follower is one HTTP client that watches one list. It is no actor: whoever
// calls Next waits.
type follower struct {
	system  *System
	pending chan struct{} // of capacity 1: the lookout was marked
	stopped chan struct{}
	closing sync.Once

	mu      sync.Mutex
	lookout lookout
	told    uint64
}

// wake lets Next look.
func (f *follower) wake(*lookout, *crowd) {
	select {
	case f.pending <- struct{}{}:
	default:
	}
}

// begin says what is known already: the list, if it did not change after since
// and is not empty; else nothing.
func (f *follower) begin(since uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookout.begun = true
	if l, _ := f.system.list(f.lookout.path); since != 0 && since >= l.Changed() && l.Len() > 0 {
		f.lookout.told = l
	} else {
		f.wake(nil, nil)
	}
}

// Next waits for what is to be told next.
func (f *follower) Next(ctx context.Context) ([]byte, uint64, error) {
	for {
		select {
		case <-f.pending:
			if text, index := f.news(); text != nil {
				return text, index, nil
			}
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-f.stopped:
			return nil, 0, errStopping
		case <-f.system.done:
			return nil, 0, errStopping
		}
	}
}

func (f *follower) news() ([]byte, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, index := f.lookout.news(f.system, f.told)
	if text != nil {
		f.told = max(f.told, index)
		f.system.meters.notified(time.Duration(f.lookout.class.since.Load()), f.system.now())
	}
	return text, index
}

// Close ends it.
func (f *follower) Close() {
	f.closing.Do(func() {
		close(f.stopped)
		f.mu.Lock()
		f.lookout.over, f.lookout.told = true, nil
		f.mu.Unlock()
		f.system.watchShardOf(f.lookout.path).box.post(&leaving{lookout: &f.lookout})
		f.system.followers.Add(-1)
	})
}
