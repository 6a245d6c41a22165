package raft

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"vera"
	"vera/raft/state"
)

// BenchmarkPush has one proposer behind which so many clients wait, each with a
// session and a list of its own: one call of Propose is under way, and what is
// answered is pushed again with the next. The log is on disk, with fsync; the
// directory is made under TMPDIR. Beside the time it reports that of the
// processor, which repeats better on a machine that does other things too.
func BenchmarkPush(b *testing.B) {
	for _, clients := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			r := open(b, quick(b, filepath.Join(b.TempDir(), "data")))
			run(b, r, pushers(b, r, clients))
		})
	}
}

// pushers returns one push a client, of 100 bytes each.
func pushers(b *testing.B, r *Raft, clients int) []state.Command {
	all := make([]state.Command, clients)
	for i := range all {
		id, life := session(b, r, fmt.Sprint(i))
		all[i] = push(id, life, vera.Path(fmt.Sprintf("/data/bench/%d", i)), 1)
		all[i].Data = fmt.Appendf(nil, `{"name":"%089d"}`, i)
	}
	return all
}

// run proposes the commands again and again, b.N in all.
func run(b *testing.B, r *Raft, commands []state.Command) {
	left := b.N
	over := make(chan struct{})
	var send func()
	send = func() {
		if left == 0 {
			close(over)
			return
		}
		next := commands[:min(left, len(commands))]
		left -= len(next)
		r.Propose(next, func(replies []state.Reply, err error) {
			for i := range replies {
				if err != nil || replies[i].Code != vera.OK {
					panic(fmt.Sprint(err, replies[i]))
				}
			}
			send()
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := processor()
	send()
	<-over
	b.ReportMetric(float64((processor()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}

// processor returns the time that this process has computed.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen starts a peer that has pushed a little before.
func BenchmarkOpen(b *testing.B) {
	o := quick(b, filepath.Join(b.TempDir(), "data"))
	for b.Loop() {
		r, err := Open(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkReplay starts a peer whose log has 200,000 pushes behind no
// snapshot, on 1,000 lists.
func BenchmarkReplay(b *testing.B) {
	const entries = 200_000
	o := quick(b, filepath.Join(b.TempDir(), "data"))
	o.SnapshotEntries = 1 << 40
	r, err := Open(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	commands := pushers(b, r, 1000)
	for range entries / len(commands) {
		propose(b, r, commands...)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := Open(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if r.Machine().Counts().Items != entries {
			b.Fatalf("%+v", r.Machine().Counts())
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/entries*1e9, "ns/entry")
}
