package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"
)

// next is what a follower tells next.
func next(t *testing.T, f vera.Follower) told {
	t.Helper()
	text, index, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var m told
	if err := json.Unmarshal(text, &m); err != nil || m.Index != index {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func TestAFollowerIsToldWhatAWatcherIs(t *testing.T) {
	y, l := newSystem(t)
	h := record(l, "/data/a")
	var busy sync.WaitGroup
	for seed := range uint64(2) {
		busy.Go(func() { busyList(t, y, "/data/a", seed+10, 100) })
	}
	for _, limit := range []int{vera.NoLimit, 2} {
		f, err := y.Follow(t.Context(), vera.Read{Path: "/data/a", Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		busy.Go(func() {
			defer f.Close()
			m := newMirror(h, limit)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for first := true; ; first = false {
				text, _, err := f.Next(ctx)
				if err != nil {
					t.Errorf("limit %d: never told the end: %v", limit, err)
					return
				}
				var one told
				if err = json.Unmarshal(text, &one); err == nil {
					err = m.hear(&one)
				}
				if err != nil || one.Reset != first {
					t.Errorf("limit %d: %v: %s", limit, err, text)
					return
				}
				if items(l, "/data/a") == 0 && h.last().index > 150 && m.final() {
					return
				}
			}
		})
	}
	busy.Wait()
	eventually(t, "the path is forgotten", func() bool { return y.kinds.watchPath.count() == 0 && y.followers.Load() == 0 })
}

func TestAFollowerThatKnowsTheListWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, _ := newSystem(t)
		c := connect(t, y, hello("one"))
		pushed := c.push("/data/a", `{}`)
		f, err := y.Follow(t.Context(), vera.Read{Path: "/data/a", Limit: vera.NoLimit, Since: pushed.Index})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if text, _, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("told what it knows: %s %v", text, err)
		}
		second := c.push("/data/a", `{}`)
		if m := next(t, f); m.Reset || len(m.Added) != 1 || m.Added[0].Version != second.Version {
			t.Errorf("the next change: %+v", m)
		}
		old, err := y.Follow(t.Context(), vera.Read{Path: "/data/a", Limit: 1, Since: pushed.Index})
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if m := next(t, old); !m.Reset || len(*m.Items) != 1 {
			t.Errorf("one that knows an older state: %+v", m)
		}
		empty, err := y.Follow(t.Context(), vera.Read{Path: "/data/empty", Limit: vera.NoLimit, Since: second.Index})
		if err != nil {
			t.Fatal(err)
		}
		defer empty.Close()
		if m := next(t, empty); !m.Reset || len(*m.Items) != 0 || m.ETag != "0" {
			t.Errorf("an empty list: %+v", m)
		}
		_, err = y.Follow(t.Context(), vera.Read{Path: "/data/a", Since: 1 << 40})
		if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.Unavailable {
			t.Errorf("an index that never comes: %v", err)
		}
	})
}

func TestReadingByHTTP(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{"n":1}`)
		pushed := c.push("/data/a", `{"n":2}`)
		got, err := y.Get(t.Context(), vera.Read{Path: "/data/a", Limit: 1, Consistent: true})
		if err != nil || got.Index <= pushed.Index || got.Total != 2 || got.Shown != 1 {
			t.Errorf("get: %+v %v", got, err)
		}
		info, err := y.Session(t.Context(), hello("one"))
		if err != nil || !info.Resumed || len(info.Items) != 2 {
			t.Errorf("a session that lives: %+v %v", info, err)
		}
		info, err = y.Session(t.Context(), hello("nobody"))
		if err != nil || info.Resumed || len(info.Items) != 0 || info.Grace != 2*time.Second || info.Peer != "a" {
			t.Errorf("one that does not: %+v %v", info, err)
		}
		for name, r := range map[string]vera.Read{
			"an index that never comes": {Path: "/data/a", MinIndex: 1 << 40},
			"no leader":                 {Path: "/data/a", Consistent: true},
		} {
			l.hold(r.Consistent)
			_, err := y.Get(t.Context(), r)
			if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		l.hold(false)
	})
}

func TestCloseSendsAllAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		var clients []*client
		for i := range 10 {
			c := connect(t, y, hello(fmt.Sprint("client", i)))
			c.push("/data/a", `{}`)
			clients = append(clients, c)
		}
		y.Close()
		for _, c := range clients {
			if code := c.closedWith(); code != vera.CloseGoingAway {
				t.Errorf("sent away with %d", code)
			}
		}
		_, err := y.Connect(t.Context(), hello("late"), newClient(t))
		if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.Unavailable {
			t.Errorf("let in: %v", err)
		}
		if !y.Status().Draining {
			t.Error("the status does not say so")
		}
		if items(l, "/data/a") != 10 {
			t.Error("items went with their connections")
		}
		pass(y.limits.FailoverGrace + time.Second)
		synctest.Wait()
		if items(l, "/data/a") != 0 {
			t.Error("items stayed behind the failover grace")
		}
	})
}

func TestCloseFreesWhoeverWaits(t *testing.T) {
	y, l := newSystem(t)
	c := connect(t, y, hello("one"))
	c.push("/data/a", `{}`)
	f, err := y.Follow(t.Context(), vera.Read{Path: "/data/a", Limit: vera.NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	next(t, f)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, _, err := f.Next(context.Background()); err == nil {
			t.Error("told something by a peer that is closed")
		}
	})
	waiting.Go(func() {
		if _, err := y.Get(context.Background(), vera.Read{Path: "/data/a", MinIndex: 1 << 40}); err == nil {
			t.Error("an index that never comes")
		}
	})
	y.Close()
	waiting.Wait()
	f.Close()
	if code := c.closedWith(); code != vera.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
	if s := l.machine.Session(sessionID("one")); s == nil || len(s.Attachments()) != 0 {
		t.Errorf("the log was not told that the connection is gone")
	}
}
