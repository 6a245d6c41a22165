package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"vera/client"
	"vera/test/lean"
)

func TestComingBackAtTheLastMomentIsAllOrNothing(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	const grace, lists = 300 * time.Millisecond, 3
	var all sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[bool]int{}
	for n := range long(60) {
		late := time.Duration(rand.IntN(60)-25) * time.Millisecond
		all.Go(func() {
			c, err := tryCall(t, p, client.Options{Grace: grace})
			if err != nil {
				t.Error(err)
				return
			}
			for list := range lists {
				_, err = c.Push(within(t, patience), fmt.Sprint(path, "/", n, "/", list), number(n))
				if err != nil {
					t.Error(err)
				}
			}
			if _, _, err = c.Watch(within(t, patience), path+"/watched"); err != nil {
				t.Error(err)
			}
			c.reset()
			<-time.After(grace + late) // around the very end of its grace
			c, err = tryCall(t, p, client.Options{Cookie: c.Cookie(), Grace: grace})
			if err != nil {
				t.Error(err)
				return
			}
			s, err := c.Session(within(t, patience))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[s.Resumed]++
			if s.Resumed && (len(s.Items) != lists || len(s.Watches) != 1) || !s.Resumed && len(s.Items)+len(s.Watches) != 0 {
				t.Errorf("came back %v after its grace as %s", late, text(s))
			}
			for list := range lists {
				l, err := c.Get(within(t, patience), fmt.Sprint(path, "/", n, "/", list))
				if there := len(l.Items) == 1; err != nil || there != s.Resumed {
					t.Errorf("resumed is %v, and list %d holds %d items, %v", s.Resumed, list, len(l.Items), err)
				}
			}
		})
	}
	all.Wait()
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Logf("in time and too late: %v", outcomes)
	}
}

// What a client sent before it left is done before it leaves: nothing of it
// may turn up afterwards and stay.
func TestNothingOutlivesTheSessionThatSentIt(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	for name, leave := range map[string]func(*speaker){
		"1000":   func(s *speaker) { s.goodbye(1000) },
		"reset":  (*speaker).abort,
		"close":  func(s *speaker) { s.say(`{"action":"close"}`) },
		"broken": func(s *speaker) { s.frame(2, []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := path + "/" + name
			watcher := call(t, p, client.Options{Queue: 10_000})
			w := watcher.watch(list)
			for range 10 {
				s := speak(t, p, "?graceMs=0")
				s.ask(fmt.Sprintf(`{"rid":0,"action":"push","path":%q,"data":{}}`, list))
				for n := range 50 {
					s.say(fmt.Sprintf(`{"rid":%d,"action":"push","path":%q,"data":{"n":%d},"limit":0}`, n, list, n))
				}
				leave(s)
			}
			eventually(t, "an empty list", func() bool { return watcher.get(list, client.Consistent()).ETag == "0" })
			w.until(func(n client.Notification) bool { return n.ETag == "0" })
			watcher.push(list+"/later", number(0)) // behind all that could still be under way
			if l := watcher.get(list, client.Consistent()); len(l.Items) != 0 {
				t.Errorf("%d items came back", len(l.Items))
			}
		})
	}
}

func TestNewOptionsOfAWatchHoldForEveryConnectionOfTheSession(t *testing.T) {
	t.Parallel()
	p, path, truth := shared(t), here(t), newTruth()
	first := call(t, p, client.Options{Queue: 10_000})
	first.watch(path)
	second := call(t, p, client.Options{Cookie: first.Cookie(), Queue: 10_000})
	owner := call(t, p, client.Options{})
	head := overture(t, owner, path, truth)
	stop, changed := make(chan struct{}), make(chan error, 1)
	go func() {
		ctx := within(t, 2*patience)
		for n := 0; ; n++ {
			options := [][]client.Option{nil, {client.Limit(1)}, {client.NoItems()}, {client.Limit(3), client.NoItems()}}[n%4]
			_, _, err := first.Watch(ctx, path, options...)
			select {
			case <-stop:
				changed <- err
				return
			case <-time.After(2 * time.Millisecond): // a few changes of the list between two of the options
			}
			if err != nil {
				changed <- err
				return
			}
		}
	}()
	storm(t, p, path, 3, long(60), truth)
	close(stop)
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	first.watch(path)
	finale(t, owner, path, head, truth)

	// The second is only told. Each difference must fit what it was told before.
	f := &follower{}
	told := feed{t, second.Watched(path), client.Listing{}}
	for !f.ended() {
		n := told.next()
		if err := f.take(n); err != nil {
			t.Fatalf("after %d notifications: %v", len(f.told), err)
		}
	}
	for _, l := range f.told {
		if !truth.has(l.ETag, l.Items, len(l.Items)) {
			t.Errorf("told that etag %s begins with %v", l.ETag, versions(l.Items))
		}
	}
}

func TestAThousandConnectionsLostAtOnceAreThousandSessionsGone(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	const size = 1000
	w := call(t, p, client.Options{Queue: 10_000}).watch(path, client.NoItems())
	conns := make([]*lean.Client, size)
	each(size, func(n int) {
		c, err := lean.Dial(p.client, "?graceMs=700", 512)
		if err == nil {
			_, err = c.Ask(fmt.Appendf(nil, `{"rid":1,"action":"push","path":%q,"data":{"n":%d},"limit":0}`, path, n))
		}
		if err != nil {
			t.Error(err)
			return
		}
		conns[n] = c
	})
	if t.Failed() {
		return
	}
	f := follow(w.began)
	for len(f.known) < size {
		if err := f.take(w.next()); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now()
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Conn.Close())
	}
	after := time.Now()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for len(f.known) > 0 {
		n := w.next()
		if early := time.Since(before); early < 700*time.Millisecond && len(n.Removed) > 0 {
			t.Errorf("%d were gone after %v", len(n.Removed), early)
		}
		if err := f.take(n); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("all were gone %v after the last was lost", time.Since(after).Round(time.Millisecond))
	if late(after, time.Now(), 700*time.Millisecond+3*slack) { // a thousand expire at once
		t.Errorf("all were gone only after %v", time.Since(after))
	}
}
