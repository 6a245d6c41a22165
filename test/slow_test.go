package test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"vera/client"
)

func TestASlowReaderIsToldExactDifferencesThatEndInTheTrueState(t *testing.T) {
	t.Parallel()
	for what, options := range map[string][]client.Option{"items": nil, "differences": {client.NoItems()}, "head": {client.Limit(1)}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p, path, truth := shared(t), here(t), newTruth()
			// Its heartbeat outlasts the stall, in which it can't be heard.
			x := between(t, p)
			slow := callThrough(t, p, x, client.Options{Queue: 10_000, Heartbeat: 2 * time.Minute})
			slow.watch(path + "/fill")
			owner := call(t, p, client.Options{})
			head := overture(t, owner, path, truth)
			w := slow.watch(path, options...)
			x.carries(true, false)
			fill(t, p, path+"/fill")
			const changes = 3 * 120
			storm(t, p, path, 3, changes/3, truth)
			end := finale(t, owner, path, head, truth)
			x.carries(true, true)

			limit := -1
			if what == "head" {
				limit = 1
			}
			f, told := follow(w.began), 0
			for !f.ended() {
				if err := f.take(w.next()); err != nil {
					t.Fatalf("after %d notifications: %v", told, err)
				}
				told++
			}
			f.judge(t, truth, limit, end.ETag)
			if told > changes*3/4 {
				t.Errorf("%d changes were told in %d notifications: nothing was merged", changes, told)
			}
		})
	}
}

// fill pushes so much that a watcher behind a stalled link has every buffer
// between full.
func fill(t *testing.T, p *peer, path string) {
	t.Helper()
	c := call(t, p, client.Options{})
	for range 20 {
		c.push(path, map[string]string{"fill": strings.Repeat("x", 60<<10)}, client.Limit(0))
	}
}

func TestAClientThatNeverReadsHurtsNobodyAndIsSentAway(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	before := admin(t, p, "process_resident_memory_bytes")
	deaf := speak(t, p, "?heartbeatMs=600000")
	if err := errors.Join(deaf.Conn.SetDeadline(time.Time{}), deaf.Conn.(*net.TCPConn).SetReadBuffer(4096)); err != nil {
		t.Fatal(err)
	}
	deaf.say(fmt.Sprintf(`{"rid":1,"action":"watch","path":%q}`, path))
	deaf.hear()
	w := call(t, p, client.Options{}).watch(path, client.NoItems())
	pusher := call(t, p, client.Options{})
	data := map[string]string{"fill": strings.Repeat("x", 50<<10)}
	var slowest time.Duration
	change := func() {
		pushed := time.Now()
		item := pusher.push(path, data, client.Limit(0))
		n := w.next()
		slowest = max(slowest, time.Since(pushed))
		if len(n.Added) != 1 || n.Added[0].Version != item.Version {
			t.Fatalf("somebody else was told %d added", len(n.Added))
		}
		if _, err := pusher.Remove(within(t, patience), path, item.Version); err != nil {
			t.Fatal(err)
		}
		w.next()
	}
	start := time.Now()
	for range 150 { // more than the kernel keeps for a socket
		change()
	}
	full := time.Now()
	// 30 s without progress must pass; the peer is kept busy meanwhile, at a
	// pace that leaves the machine to others.
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	for admin(t, p, "vera_slow_connections_total") == 0 && time.Since(full) < 45*time.Second {
		change()
		<-pace.C
	}
	if time.Since(start) < 30*time.Second || late(full, time.Now(), 35*time.Second) {
		t.Errorf("sent away after %v without progress, the bound is 30 s", time.Since(full))
	}
	if slowest > 2*time.Second+machine.since(start) {
		t.Errorf("somebody else waited %v", slowest)
	}
	if grown := admin(t, p, "process_resident_memory_bytes") - before; grown > 200<<20 {
		t.Errorf("the peer grew by %.0f MiB", grown/(1<<20))
	}
}
