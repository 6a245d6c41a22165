package test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"vera"
	"vera/client"
)

func TestNoGapBetweenTheWatchAnswerAndTheFirstNotification(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	const pushers, pushes, watchers = 8, 125, 16 // a thousand concurrent pushes
	var pushing, watching sync.WaitGroup
	for range pushers {
		c := call(t, p, client.Options{})
		pushing.Go(func() {
			for n := range pushes {
				if _, err := c.Push(within(t, 4*patience), path, number(n), client.Limit(0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range watchers {
		c := call(t, p, client.Options{Queue: 10_000})
		watching.Go(func() {
			w, l, err := c.Watch(within(t, patience), path, client.NoItems())
			if err != nil {
				t.Error(err)
				return
			}
			f := follow(l)
			for len(f.known) < pushers*pushes {
				n, err := w.Next(within(t, 4*patience))
				if err == nil {
					err = f.take(n)
				}
				if err != nil {
					t.Errorf("with %d items known of a watch begun at %d: %v", len(f.known), l.Index, err)
					return
				}
			}
		})
	}
	pushing.Wait()
	watching.Wait()
}

func TestEveryWatcherIsToldOnlyStatesTheListHadInOrderToTheLast(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	truth, owner := newTruth(), call(t, p, client.Options{})
	head := overture(t, owner, path, truth)
	var watchers []*feed
	limits := []int{-1, -1, 3, 1}
	for n, limit := range limits {
		options := []client.Option{}
		if limit >= 0 {
			options = append(options, client.Limit(limit))
		}
		if n == 1 {
			options = append(options, client.NoItems())
		}
		watchers = append(watchers, call(t, p, client.Options{Queue: 10_000}).watch(path, options...))
	}
	storm(t, p, path, 4, long(80), truth)
	end := finale(t, owner, path, head, truth)
	for n, w := range watchers {
		f := follow(w.began)
		for !f.ended() {
			if err := f.take(w.next()); err != nil {
				t.Fatalf("watcher %d: %v", n, err)
			}
		}
		f.judge(t, truth, limits[n], end.ETag)
	}
}

func TestASessionThatEndsIsToldInOneNotification(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	const items = 500
	owner := call(t, p, client.Options{})
	stays := call(t, p, client.Options{}).push(path, number(0))
	var sent []*client.Pending
	for n := range items {
		pending, err := owner.StartPush(within(t, patience), path, number(n), client.Limit(0))
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, pending)
	}
	for _, pending := range sent {
		if _, err := pending.Listing(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	whole := call(t, p, client.Options{}).watch(path)
	differences := call(t, p, client.Options{}).watch(path, client.NoItems())
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*feed{whole, differences} {
		f := follow(w.began)
		n := w.next()
		if err := f.take(n); err != nil {
			t.Fatal(err)
		}
		if len(n.Removed) != items || len(f.known) != 1 || f.known[0].Version != stays.Version {
			t.Errorf("%d items left in one notification, %d stay", len(n.Removed), len(f.known))
		}
		for _, item := range n.Removed {
			if item.Reason != "closed" {
				t.Fatalf("reason %q", item.Reason)
			}
		}
	}
}

func TestLimitOneIsSilentWhileTheHeadStays(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	head, second, watcher := call(t, p, client.Options{}), call(t, p, client.Options{}), call(t, p, client.Options{})
	leads := head.push(path, number(0))
	w := watcher.watch(path, client.Limit(1))
	if len(w.began.Items) != 1 || w.began.Items[0].Version != leads.Version {
		t.Fatalf("began with %s", text(w.began))
	}
	follows := second.push(path, number(1))
	for n := range 20 { // a herd queues and leaves behind the head
		queued := call(t, p, client.Options{})
		queued.push(path, number(n))
		if err := queued.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.silent(watcher)
	if _, err := head.Update(within(t, patience), path, leads.Version, number(9)); err != nil {
		t.Fatal(err)
	}
	if n := w.next(); len(n.Updated) != 1 || n.Updated[0].Version != leads.Version || len(n.Items) != 1 || len(n.Added)+len(n.Removed) != 0 {
		t.Errorf("the head's update is told as %s", text(n))
	}
	if err := head.Close(); err != nil {
		t.Fatal(err)
	}
	n := w.next()
	if len(n.Removed) != 1 || n.Removed[0].Version != leads.Version || len(n.Added) != 1 || n.Added[0].Version != follows.Version || len(n.Items) != 1 {
		t.Errorf("the new head is told as %s", text(n))
	}
}

func TestItemsFalseTellsDifferencesOnly(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	w := call(t, p, client.Options{}).watch(path, client.NoItems())
	item := c.push(path, number(1))
	if n := w.next(); n.Items != nil || n.Reset || len(n.Added) != 1 || n.Added[0].Version != item.Version || n.ETag != item.ETag || n.Index < item.Index {
		t.Errorf("a push is told as %s", text(n))
	}
	l, err := c.Update(within(t, patience), path, item.Version, number(2))
	if err != nil {
		t.Fatal(err)
	}
	if n := w.next(); n.Items != nil || len(n.Updated) != 1 || n.Updated[0].Updated != etag(t, l.ETag) || string(n.Updated[0].Data) != `{"n":2}` {
		t.Errorf("an update is told as %s", text(n))
	}
	if _, err = c.Remove(within(t, patience), path, item.Version); err != nil {
		t.Fatal(err)
	}
	if n := w.next(); n.Items != nil || len(n.Removed) != 1 || n.Removed[0].Reason != "removed" || n.ETag != "0" {
		t.Errorf("a removal is told as %s", text(n))
	}
}

func TestSinceLeavesItemsOutOnlyWhenNothingChanged(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c, watcher := call(t, p, client.Options{}), call(t, p, client.Options{})
	first := c.push(path, number(1))
	if began := watcher.watch(path, client.Since(first.Index)).began; began.Items != nil || began.ETag != first.ETag || began.Index < first.Index {
		t.Errorf("unchanged since %d, answered %s", first.Index, text(began))
	}
	second := c.push(path, number(2))
	if began := watcher.watch(path, client.Since(first.Index)).began; len(began.Items) != 2 || began.ETag != second.ETag {
		t.Errorf("changed since %d, answered %s", first.Index, text(began))
	}
	if began := watcher.watch(path, client.Since(1)).began; len(began.Items) != 2 {
		t.Errorf("since before anything kept, answered %s", text(began))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the empty list", func() bool { return watcher.get(path).ETag == "0" })
	now := watcher.get(path).Index
	if began := watcher.watch(path, client.Since(now)).began; began.Items == nil || began.ETag != "0" {
		t.Errorf("an empty list is always told, answered %s", text(began))
	}
}

func TestWatchingAgainReplacesTheOptions(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c, watcher := call(t, p, client.Options{}), call(t, p, client.Options{})
	watcher.watch(path, client.Limit(1), client.NoItems())
	w := watcher.watch(path)
	for n := range 3 {
		c.push(path, number(n))
		if told := w.next(); len(told.Items) != n+1 {
			t.Errorf("told %s", text(told))
		}
	}
	if s := watcher.session(); len(s.Watches) != 1 || s.Watches[0].Path != path || s.Watches[0].Limit != nil {
		t.Errorf("the session has the watches %s", text(s.Watches))
	}
}

func TestUnwatchIsTheEndOfNotifications(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c, watcher := call(t, p, client.Options{}), call(t, p, client.Options{})
	watcher.watch(path)
	for range 2 { // the second time it is not watched: OK all the same
		if err := watcher.Unwatch(within(t, patience), path); err != nil {
			t.Fatal(err)
		}
	}
	c.push(path, number(1))
	(&feed{t, watcher.Watched(path), client.Listing{}}).silent(watcher)
	if s := watcher.session(); slices.ContainsFunc(s.Watches, func(w client.Watched) bool { return w.Path == path }) {
		t.Errorf("the session has the watches %s", text(s.Watches))
	}
}

func TestEveryConnectionOfASessionIsToldButTheQuiet(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	first := call(t, p, client.Options{})
	second := call(t, p, client.Options{Cookie: first.Cookie()})
	var heard []string // by the quiet one's reading goroutine
	quiet := call(t, p, client.Options{Cookie: first.Cookie(), Quiet: true, Trace: func(sent bool, message []byte) {
		if !sent {
			heard = append(heard, string(message))
		}
	}})
	w := first.watch(path)
	pushed := call(t, p, client.Options{}).push(path, number(1))
	if n := w.next(); !slices.Equal(versions(n.Added), []uint64{pushed.Version}) {
		t.Errorf("the first was told %s", text(n))
	}
	holds := func(n client.Notification) bool { return slices.Equal(versions(n.Items), []uint64{pushed.Version}) }
	(&feed{t, second.Watched(path), client.Listing{}}).until(holds)
	quiet.ping()
	quiet.push(path, number(2), client.Limit(0)) // it hears answers, and only these
	quiet.Abort()
	if len(heard) != 2 {
		t.Errorf("notify=false heard %q", heard)
	}
}

func TestLocalWatchesWorkAndAreNotPartOfTheSession(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	pusher := call(t, p, client.Options{})
	before := pusher.push(path, number(0)).Index
	c := call(t, p, client.Options{Local: true})
	w := c.watch(path)
	if after := pusher.push(path, number(1)).Index; after != before+1 {
		t.Errorf("connecting and watching with local=true took the index from %d to %d", before, after-1)
	}
	if n := w.next(); len(n.Items) != 2 {
		t.Errorf("told %s", text(n))
	}
	// The first push makes the session, and the watches that it has, lasting.
	item := c.push(path+"/own", number(2))
	c.reset()
	c = call(t, p, client.Options{Cookie: c.Cookie(), Local: true})
	s := c.session()
	if !s.Resumed || len(s.Items) != 1 || s.Items[0].Version != item.Version || len(s.Watches) != 1 || s.Watches[0].Path != path {
		t.Errorf("resumed as %s", text(s))
	}
}

func TestReadersCostTheLogNothing(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	pusher := call(t, p, client.Options{})
	before := pusher.push(path, number(0)).Index
	for range 10 {
		c := call(t, p, client.Options{})
		c.get(path)
		c.session()
		c.ping()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := pusher.push(path, number(1)).Index; after != before+1 {
		t.Errorf("ten clients that only read took the index from %d to %d", before, after-1)
	}
}

func TestARequestThatCannotBeDoneLeavesTheWatchAsItWas(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	w := c.watch(path)
	_, _, err := c.Watch(context.WithoutCancel(t.Context()), "/elsewhere")
	refused(t, err, vera.InvalidParameter, "path")
	c.push(path, number(1))
	if n := w.next(); len(n.Added) != 1 {
		t.Errorf("told %s", text(n))
	}
}
