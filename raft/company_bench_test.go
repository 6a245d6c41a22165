package raft

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/raft/state"
)

// company opens peers that speak over HTTPS, each with a directory of its own.
func company(t testing.TB, names ...string) []*Raft {
	t.Helper()
	var (
		opening   sync.WaitGroup
		listeners []net.Listener
		join      []string
	)
	for range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners, join = append(listeners, l), append(join, l.Addr().String())
	}
	dir, peers := t.TempDir(), make([]*Raft, len(names))
	for i, name := range names {
		opening.Go(func() {
			o := quick(t, filepath.Join(dir, name))
			o.Name, o.Logger, o.SnapshotEntries = name, zerolog.Nop(), 1<<40
			o.PeerListener, o.Join, o.Expect, o.Secret = listeners[i], join, len(names), []byte("0123456789abcdef")
			r, err := Open(context.Background(), o)
			if err != nil {
				t.Error(err)
				return
			}
			peers[i] = r
		})
	}
	opening.Wait()
	t.Cleanup(func() {
		for _, r := range peers {
			if r != nil {
				_ = r.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return peers
}

// BenchmarkCompany pushes through three peers over HTTPS, with all disks and
// all work on this machine: commands of 100 bytes, each client's one after
// another. Its figures, and how they came about, are in docs/decisions.
func BenchmarkCompany(b *testing.B) {
	for _, from := range []string{"leader", "follower", "all"} {
		for _, clients := range []int{1, 64, 256, 1024} {
			b.Run(fmt.Sprintf("%s/%d", from, clients), func(b *testing.B) {
				peers := company(b, "a", "b", "c")
				leads := slices.IndexFunc(peers, (*Raft).Leading)
				through := map[string][]*Raft{"leader": {peers[leads]}, "follower": {peers[(leads+1)%3]}, "all": peers}[from]
				each(b, through[:min(len(through), clients)], clients)
			})
		}
	}
}

// client pushes its command again and again.
type client struct {
	through  *Raft
	commands []state.Command
	left     int
	took     []time.Duration
	over     func()
}

func (c *client) push() {
	if c.left == 0 {
		c.over()
		return
	}
	c.left--
	began := time.Now()
	c.through.Propose(c.commands, func(replies []state.Reply, err error) {
		if err != nil || replies[0].Code != vera.OK {
			panic(fmt.Sprint(err, replies))
		}
		c.took = append(c.took, time.Since(began))
		c.push()
	})
}

// each has every client push.
func each(b *testing.B, through []*Raft, clients int) {
	var running sync.WaitGroup
	all := make([]*client, clients)
	commands := make([][]state.Command, len(through))
	for i, r := range through {
		commands[i] = pushers(b, r, clients)
	}
	for i := range all {
		r := through[i%len(through)]
		c := &client{through: r, commands: commands[i%len(through)][i : i+1], left: b.N / clients, over: running.Done}
		c.took = make([]time.Duration, 0, c.left)
		all[i] = c
	}
	b.ResetTimer()
	before := processor()
	running.Add(clients)
	for _, c := range all {
		c.push()
	}
	running.Wait()
	b.ReportMetric(float64((processor()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	var took []time.Duration
	for _, c := range all {
		took = append(took, c.took...)
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		b.ReportMetric(float64(took[n/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[n*99/100].Microseconds()), "p99-µs")
	}
}
