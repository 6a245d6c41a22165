package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera/client"
	"vera/test/cluster"
)

// TestLeadersDieUnderPushes: 64 clients push through all peers while the leader
// is killed ten times. Who is connected to a peer that lives sees no error and
// waits five seconds at most; who was connected to the dead one goes on
// elsewhere and repeats. The lists hold what was acknowledged, each once.
func TestLeadersDieUnderPushes(t *testing.T) {
	c := cluster.Start(t, 3, cluster.Options{Flags: []string{"--max-rate", "100000"}})
	const clients, kills = 64, 10
	var stop atomic.Bool
	var running sync.WaitGroup
	pushed := make([]int, clients) // acknowledged by each
	errs := make([]error, clients)
	for i := range clients {
		m := connect(t, c, c.Peers[i%3], client.Options{Grace: 20 * time.Second})
		running.Go(func() {
			path := fmt.Sprintf("/data/kill/%d", i)
			for n := 1; !stop.Load(); n++ {
				start := time.Now()
				moves := m.moves
				_, err := m.push(path, number{n}, fmt.Sprint(n))
				if err == nil && m.moves == moves && time.Since(start) > answerWithin {
					err = fmt.Errorf("took %v", time.Since(start))
				}
				if err != nil {
					errs[i] = fmt.Errorf("push %d through %s: %w", n, m.at.Name, err)
					return
				}
				pushed[i] = n
				pause(20 * time.Millisecond) // 64 clients: 3,200 pushes a second at most
			}
		})
	}
	var gaps []time.Duration
	for range kills {
		leader := c.Leader()
		probe := connect(t, c, c.Followers()[0], client.Options{})
		leader.Kill()
		start := time.Now()
		must[client.Listing](t)(probe.push("/data/probe", number{1}, ""))
		gaps = append(gaps, time.Since(start))
		leader.Restart()
		c.AwaitWhole()
	}
	stop.Store(true)
	running.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	for i, n := range pushed {
		got := numbers(t, c, fmt.Sprintf("/data/kill/%d", i))
		if !slices.Equal(got, upTo(n)) {
			t.Errorf("client %d: acknowledged 1 to %d, the list holds %d: %v", i, n, len(got), got)
		}
	}
	slices.Sort(gaps)
	t.Logf("from the leader's kill to the next push acknowledged elsewhere: median %v, worst %v", gaps[kills/2], gaps[kills-1])
	if gaps[kills/2] > 2*time.Second { // 0.8 s on a machine that is not shared by four test binaries
		t.Errorf("the median of the times without a leader is %v", gaps[kills/2])
	}
}

// upTo counts from 1.
func upTo(n int) (all []int) {
	for k := range n {
		all = append(all, k+1)
	}
	return all
}

func pause(d time.Duration) { <-time.After(d) }

// TestRollingRestartLosesNoSession: a thousand sessions, each with an item and a
// watch, live through the restart of every peer, while others push.
func TestRollingRestartLosesNoSession(t *testing.T) {
	c := cluster.Start(t, 3, cluster.Options{Flags: []string{"--drain", "2s"}})
	const sessions = 1000
	all := make([]*mover, sessions)
	ids := make([]string, sessions)
	each(sessions, func(i int) {
		m, err := tryConnect(t, c, c.Peers[i%3], client.Options{})
		if err == nil {
			all[i] = m
			ids[i], err = m.begin(i)
		}
		if err != nil {
			t.Errorf("session %d: %v", i, err)
		}
	})
	if t.Failed() {
		return
	}
	var stop atomic.Bool
	var running sync.WaitGroup
	for _, m := range all {
		running.Go(func() {
			for !stop.Load() {
				select {
				case <-m.conn.Done():
					if err := m.move(); err != nil {
						t.Error(err)
						return
					}
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	for _, p := range c.Peers {
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
		p.Restart()
		c.AwaitWhole()
	}
	stop.Store(true)
	running.Wait()
	each(sessions, func(i int) {
		s, err := all[i].session()
		if err != nil {
			t.Errorf("session %d: %v", i, err)
			return
		}
		if s.Session != ids[i] || !s.Resumed && all[i].moves > 0 || len(s.Items) != 1 || len(s.Watches) != 1 {
			t.Errorf("session %d was %s; it is %s, resumed %v, %d items, %d watches", i, ids[i], s.Session, s.Resumed, len(s.Items), len(s.Watches))
		}
	})
	if got := numbers(t, c, "/data/rolling"); len(got) != sessions {
		t.Errorf("%d items are left of %d", len(got), sessions)
	}
}

// begin pushes an item and watches a list, and returns the session's id.
func (m *mover) begin(i int) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := m.conn.Push(ctx, "/data/rolling", number{i}, client.Limit(0)); err != nil {
		return "", err
	}
	if _, _, err := m.conn.Watch(ctx, fmt.Sprintf("/data/rolling/%d", i)); err != nil {
		return "", err
	}
	s, err := m.conn.Session(ctx)
	return s.Session, err
}

// each runs something for many, eight at a time.
func each(n int, do func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	running.Wait()
}
