package raft

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// sick is a store whose disk fails when it is told to.
type sick struct {
	memoryStore
	log, stable atomic.Bool
	writes      atomic.Int64
}

var errSick = errors.New("input/output error")

func (s *sick) fails(now bool) error {
	s.writes.Add(1)
	if now {
		return errSick
	}
	return nil
}

func (s *sick) StoreLogs(logs []*hraft.Log) error {
	return errors.Join(s.fails(s.log.Load()), s.memoryStore.StoreLogs(logs))
}

func (s *sick) Set(name, value []byte) error {
	return errors.Join(s.fails(s.stable.Load()), s.memoryStore.Set(name, value))
}

func (s *sick) SetUint64(name []byte, n uint64) error {
	return errors.Join(s.fails(s.stable.Load()), s.memoryStore.SetUint64(name, n))
}

func onSick(t *testing.T) (Options, *sick, *[]error) {
	s := &sick{memoryStore: memoryStore{hraft.NewInmemStore()}}
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	o.memory = &memory{s, hraft.NewInmemSnapshotStore()}
	fatal := new([]error)
	o.Fatal = func(err error) { *fatal = append(*fatal, err) }
	return o, s, fatal
}

func TestFirstFailedWriteEndsThePeer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o, disk, fatal := onSick(t)
		r := open(t, o)
		id, life := session(t, r, "one")
		disk.log.Store(true)
		var acknowledged atomic.Bool
		r.Propose([]state.Command{push(id, life, "/data/x", 1)}, func(_ []state.Reply, err error) {
			acknowledged.Store(err == nil)
		})
		synctest.Wait()
		if len(*fatal) != 1 || !errors.Is((*fatal)[0], errSick) || !strings.Contains((*fatal)[0].Error(), "the disk failed") {
			t.Fatalf("fatal: %v", *fatal)
		}
		// The process ends now. Should it be slow to, nothing happens any more,
		// even if the disk seems well again.
		disk.log.Store(false)
		writes := disk.writes.Load()
		advance(time.Minute)
		synctest.Wait()
		if acknowledged.Load() || disk.writes.Load() != writes || len(*fatal) != 1 {
			t.Errorf("acknowledged %v, %d writes behind the failure, fatal %v", acknowledged.Load(), disk.writes.Load()-writes, *fatal)
		}
	})
}

func TestFailedVoteEndsThePeerWithoutAPanic(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		o, disk, fatal := onSick(t)
		r := open(t, o)
		disk.stable.Store(true)
		// A log that fails once without ending the peer makes it stand for
		// election again: it votes for itself.
		r.guard.running.Store(false)
		disk.log.Store(true)
		r.Propose([]state.Command{{Kind: state.Open, Grace: time.Second}}, func([]state.Reply, error) {})
		synctest.Wait()
		r.guard.running.Store(true)
		advance(time.Minute)
		synctest.Wait()
		if len(*fatal) != 1 || !strings.Contains((*fatal)[0].Error(), "writing the term") {
			t.Fatalf("fatal: %v", *fatal)
		}
	})
}

func TestDiskThatFailsAtTheStartIsAnError(t *testing.T) {
	o, disk, fatal := onSick(t)
	disk.stable.Store(true)
	refused(t, o, errSick.Error())
	disk.stable.Store(false)
	r := open(t, o)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	disk.stable.Store(true)
	refused(t, o, errSick.Error())
	if len(*fatal) != 0 {
		t.Errorf("fatal: %v", *fatal)
	}
}

func TestRaftsLogIsQuietAndHasFields(t *testing.T) {
	var out bytes.Buffer
	q := newQuietLog(zerolog.New(&out).Level(zerolog.InfoLevel))
	with := q.With("peer", "b").Named("x")
	with.Warn("an election")
	if out.Len() != 0 {
		t.Errorf("a warning while coming up: %s", out.String())
	}
	q.up.Store(true)
	with.Info("news")
	with.Debug("more")
	with.Error("failed to heartbeat to", "peer", "c:1") // for debugging: it comes with every lost peer
	with.Warn("rejecting pre-vote request since we have a leader", "from", "c:1")
	with.Warn("hears nothing", "time", time.Second, "error", errSick)
	with.Error("failed", "index", 7, "target", hraft.Server{ID: "c-0123abcd", Address: "https://c:1?key=x"})
	with.Error("failed", "index", 8, "target", hraft.Server{ID: "c-0123abcd", Address: "https://c:1?key=x"})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	if strings.Contains(lines[0], `"time"`) || !strings.Contains(lines[0], `"silent"`) {
		t.Errorf("the line's time is not its own: %s", lines[0])
	}
	var fields struct{ Level, Room, Peer, Message, Error string }
	if err := json.Unmarshal([]byte(lines[0]), &fields); err != nil {
		t.Fatal(err)
	}
	if fields.Level != "warn" || fields.Room != "raft" || fields.Peer != "b" || fields.Message != "hears nothing" || fields.Error != errSick.Error() {
		t.Errorf("%s", lines[0])
	}
	if !strings.Contains(lines[1], `"target":"c"`) || !strings.Contains(lines[1], `"index":7`) {
		t.Errorf("%s", lines[1])
	}
}

func TestMetricsSayWhatHappened(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	o.Metrics = registry
	for start := range 2 { // a registry serves a peer that starts again
		r := open(t, o)
		closed, life := session(t, r, "closed")
		propose(t, r, state.Command{Kind: state.Detach, Session: closed, Life: life, Clean: true})
		ended, life := session(t, r, "ended")
		propose(t, r, state.Command{Kind: state.End, Session: ended, Life: life, Reason: vera.Ended})
		lost, life := session(t, r, "lost")
		waited := make(chan struct{})
		r.Feed().Poke(func() {
			if r.Machine().Session(lost) == nil {
				select {
				case waited <- struct{}{}:
				default:
				}
			}
		})
		propose(t, r, lose(lost, life, 10*time.Millisecond))
		<-waited
		got := gather(t, registry)
		for name, want := range map[string]float64{
			"vera_raft_leader": 1, "vera_raft_last_contact_seconds": 0, "vera_forward_in_flight": 0, "vera_forward_retries_total": 0,
			"vera_session_ends_total closed": 1, "vera_session_ends_total ended": 1, "vera_session_ends_total expired": 1,
			"vera_expiry_lateness_seconds": 1, "vera_raft_term": float64(start + 2), "vera_raft_applied_index": float64(r.Machine().Applied()),
		} {
			if have, found := got[name]; !found || have != want {
				t.Errorf("start %d: %s is %v (%v), want %v", start, name, have, found, want)
			}
		}
		for _, name := range []string{"vera_raft_commit_index", "vera_raft_apply_seconds", "vera_raft_fsync_seconds", "vera_raft_batch_size", "vera_forward_batches_total"} {
			if got[name] == 0 {
				t.Errorf("start %d: %s is 0", start, name)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if left := gather(t, registry); len(left) != 0 {
			t.Errorf("a closed peer shows %v", left)
		}
	}
}

// gather returns the value of each metric; of a histogram, its count.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}
