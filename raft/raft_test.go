package raft

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// quick are options for a peer in a test.
func quick(t testing.TB, dir string) Options {
	return Options{
		Dir: dir, Name: "a", FailoverGrace: 10 * time.Second,
		Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		Fatal:  func(err error) { t.Errorf("fatal: %v", err) },
	}
}

func open(t testing.TB, o Options) *Raft {
	t.Helper()
	r, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// propose waits for the replies to commands.
func propose(t testing.TB, r *Raft, commands ...state.Command) []state.Reply {
	t.Helper()
	type result struct {
		replies []state.Reply
		err     error
	}
	got := make(chan result, 1)
	r.Propose(commands, func(replies []state.Reply, err error) { got <- result{replies, err} })
	res := <-got
	if res.err != nil {
		t.Fatalf("propose: %v", res.err)
	}
	return res.replies
}

// session opens a session, attached to this peer, and returns its name and life.
func session(t testing.TB, r *Raft, name string) (vera.SessionID, uint64) {
	t.Helper()
	id := vera.SessionOf([]byte(name), "")
	reply := propose(t, r, state.Command{Kind: state.Open, Session: id, Grace: time.Second})[0]
	if reply.Code != vera.OK {
		t.Fatalf("open: %+v", reply)
	}
	return id, reply.Life
}

func push(id vera.SessionID, life uint64, path vera.Path, n int) state.Command {
	return state.Command{
		Kind: state.Push, Session: id, Life: life, Path: path, Owner: "192.0.2.1",
		Data: fmt.Appendf(nil, `{"n":%d}`, n), SessionItems: 1 << 30, ListItems: 1 << 30,
	}
}

func barrier(t testing.TB, r *Raft) uint64 {
	t.Helper()
	type result struct {
		index uint64
		err   error
	}
	got := make(chan result, 1)
	r.Barrier(func(index uint64, err error) { got <- result{index, err} })
	res := <-got
	if res.err != nil {
		t.Fatalf("barrier: %v", res.err)
	}
	return res.index
}

func TestPushIsThereAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	last := uint64(0)
	for start := range 3 {
		r := open(t, quick(t, dir))
		if got := r.Incarnation(); got != uint64(start)+1 {
			t.Fatalf("start %d has incarnation %d", start, got)
		}
		id, life := session(t, r, fmt.Sprint("s", start))
		told := make(chan uint64, 1)
		r.WhenApplied(r.Machine().Applied()+1, func() { told <- r.Machine().Applied() })
		reply := propose(t, r, push(id, life, "/data/x", start))[0]
		if index := <-told; index < reply.Version {
			t.Errorf("told that %d is applied at %d", reply.Version, index)
		}
		if reply.Code != vera.OK || reply.Version <= last {
			t.Fatalf("push after version %d: %+v", last, reply)
		}
		last = reply.Version
		l, index := r.Machine().List("/data/x")
		if l.Len() != start+1 || index < last {
			t.Fatalf("start %d: %d items at %d", start, l.Len(), index)
		}
		if index := barrier(t, r); index <= last || r.Machine().Applied() != index {
			t.Fatalf("barrier at %d, version %d, applied %d", index, last, r.Machine().Applied())
		}
		if err := r.Machine().Check(); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Fake time goes on only when everybody waits for it: what it shows is how
// long Open waits for timers, however slow the disk and the processor are.
func TestLeadsWithoutWaiting(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		for range 2 {
			began := time.Now()
			r := open(t, quick(t, dir))
			if took := time.Since(began); took > 2*time.Millisecond {
				t.Errorf("Open waited %v for timers", took)
			}
			if s := r.Status(); !r.Leading() || s.Leader != "a" || s.Suspended || s.LastContact != 0 || s.Committed != s.Applied {
				t.Errorf("does not lead when it is open: %+v", s)
			}
			if r.LeaderContact().Before(time.Now()) {
				t.Errorf("leads alone, and was last in touch with the leader at %v", r.LeaderContact())
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
