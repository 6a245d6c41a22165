package test

import (
	"context"
	"slices"
	"testing"
	"time"

	"vera"
	"vera/client"
)

func TestAnEmptyListIsNoError(t *testing.T) {
	t.Parallel()
	c := call(t, shared(t), client.Options{})
	l := c.get(here(t, "nothing", "here"))
	if l.Items == nil || len(l.Items) != 0 || l.ETag != "0" || l.Index == 0 || l.Total != 0 {
		t.Errorf("got %s", text(l))
	}
}

func TestLimitShowsTheFirstAndTellsTheTotal(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	var all []uint64
	for n := range 5 {
		all = append(all, c.push(path, number(n)).Version)
	}
	for limit, shown := range map[int][]uint64{0: {}, 1: all[:1], 3: all[:3], 5: all, 100: all} {
		l := c.get(path, client.Limit(limit))
		total := 0
		if len(shown) < 5 {
			total = 5
		}
		if !slices.Equal(versions(l.Items), shown) || l.Total != total || l.Items == nil {
			t.Errorf("limit %d: %s", limit, text(l))
		}
	}
	if l := c.push(path, number(5), client.Limit(2)); !slices.Equal(versions(l.Items), all[:2]) || l.Total != 6 {
		t.Errorf("a push with limit 2: %s", text(l))
	}
}

func TestMinIndexWaitsForWhatIsToCome(t *testing.T) {
	t.Parallel()
	// A peer of its own: on the shared one the index moves all the time.
	p, path := startPeer(t), here(t)
	c, other := call(t, p, client.Options{}), call(t, p, client.Options{})
	now := other.push(path, number(0)).Index
	if l := c.get(path, client.MinIndex(now)); l.Index < now || len(l.Items) != 1 {
		t.Errorf("read your writes: %s", text(l))
	}
	type result struct {
		l   client.Listing
		err error
	}
	answered := make(chan result, 1)
	go func() {
		l, err := c.Get(context.WithoutCancel(t.Context()), path, client.MinIndex(now+3))
		answered <- result{l, err}
	}()
	for n := 1; n <= 3; n++ {
		select {
		case r := <-answered:
			t.Fatalf("answered before its index: %s, %v", text(r.l), r.err)
		default:
		}
		other.push(path, number(n))
	}
	select {
	case r := <-answered:
		if r.err != nil || r.l.Index < now+3 || len(r.l.Items) != 4 {
			t.Errorf("got %s, %v", text(r.l), r.err)
		}
	case <-time.After(patience):
		t.Error("not answered after its index was reached")
	}
}

func TestAnIndexOfTheFutureIsWaitedForAndThenUnavailable(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	const far = 1 << 50
	for what, ask := range map[string]func(context.Context) error{
		"get with minIndex": func(ctx context.Context) error {
			_, err := c.Get(ctx, path, client.MinIndex(far))
			return err
		},
		"watch with since": func(ctx context.Context) error {
			_, _, err := c.Watch(ctx, path, client.Since(far))
			return err
		},
		"HTTP with minIndex": func(ctx context.Context) error {
			_, err := client.Get(ctx, quickHTTP(), p.url(), path, client.MinIndex(far))
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			err := ask(within(t, patience))
			refused(t, err, vera.Unavailable, "")
			if took := time.Since(start); took < 5*time.Second || late(start, time.Now(), 5*time.Second) {
				t.Errorf("refused after %v, the bound is 5 s", took)
			}
		})
	}
}

func TestConsistentReadsSeeWhatWasAnswered(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	writer, reader := call(t, p, client.Options{}), call(t, p, client.Options{})
	for n := range 30 {
		pushed := writer.push(path, number(n), client.Limit(0))
		if l := reader.get(path, client.Consistent()); l.Index < pushed.Index || len(l.Items) != n+1 {
			t.Fatalf("pushed at %d, then read %s", pushed.Index, text(l))
		}
		r, err := client.Get(within(t, patience), quickHTTP(), p.url(), path, client.Consistent(), client.Limit(1))
		if err != nil || r.Index < pushed.Index || n > 0 && r.Total != n+1 {
			t.Fatalf("pushed at %d, then read over HTTP %s, %v", pushed.Index, text(r), err)
		}
	}
}

func TestTheClusterIsAList(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--name", "alone")
	c := call(t, p, client.Options{})
	l := c.get("/vera/peers")
	if len(l.Items) != 1 || l.ETag == "0" {
		t.Errorf("one peer is shown as %s", text(l))
	}
	if s := c.session(); s.Peer != "alone" || s.Leader != "alone" {
		t.Errorf("session names peer %q and leader %q", s.Peer, s.Leader)
	}
	if began := c.watch("/vera/peers").began; len(began.Items) != 1 || began.ETag != l.ETag {
		t.Errorf("watched as %s", text(began))
	}
	if err := c.Unwatch(within(t, patience), "/vera/peers"); err != nil {
		t.Error(err)
	}
	_, err := c.Push(within(t, patience), "/vera/peers", number(1))
	refused(t, err, vera.InvalidParameter, "/vera/peers")
	_, err = c.Remove(within(t, patience), "/vera/peers", l.Items[0].Version)
	refused(t, err, vera.InvalidParameter, "/vera/peers")
}
