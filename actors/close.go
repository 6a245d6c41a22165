package actors

import (
	"context"
	"time"

	"vera"
)

// wait lets a time pass.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until asks again and again until something holds.
func (y *System) until(ctx context.Context, holds func() bool) error {
	for pause := time.Millisecond; !holds(); pause = min(2*pause, grain) {
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// lastWords is how long Close waits for connections to close and for the log
// to hear of it, and for actors to stop.
const lastWords = 3 * time.Second

// LogIsLost says that the log hears nothing of this peer any more, because the
// disk failed, the peer was removed, or no majority is there: Close need not
// wait for it.
func (y *System) LogIsLost() { y.lost.Store(true) }

// Close sends away who is still connected, waits a little until the log knows
// that they are gone, and stops all actors, those first that are supervised.
// Whoever waits in a method gets Unavailable. It may be called more than once;
// only the first call does something.
func (y *System) Close() {
	y.closing.Do(func() {
		y.closed.Store(true)
		for _, b := range y.kinds.connection.all() {
			b.who.(*connection).socket.Close(vera.CloseGoingAway, "this peer is going away")
		}
		y.patiently(func() bool {
			return y.kinds.connection.count() == 0 && (y.lost.Load() || y.kinds.session.count() == 0)
		})
		close(y.done)
		y.clock.Wait()
		for _, kinds := range [][]*kind{
			{y.kinds.connection, y.kinds.watchPath}, {y.kinds.session},
			{y.kinds.shard, y.kinds.watchShard}, {y.kinds.manager}, {y.kinds.raft}, {y.kinds.introspection},
		} {
			y.stopAll(kinds)
		}
		y.patiently(y.runners.stop)
		y.meters.unregister()
	})
}

// patiently waits for something, for a while.
func (y *System) patiently(holds func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = y.until(ctx, holds) // what is late is stopped all the same
}

func (y *System) stopAll(kinds []*kind) {
	for _, k := range kinds {
		for _, b := range k.all() {
			b.stop()
		}
	}
	y.patiently(func() bool {
		for _, k := range kinds {
			if k.count() > 0 {
				return false
			}
		}
		return true
	})
}
