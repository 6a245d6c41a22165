package disk

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// The directory of a benchmark must be on the disk that is to be measured: TMPDIR says which.
func benchStore(b *testing.B) *Store {
	return mustOpen(b, filepath.Join(b.TempDir(), "log"), Options{})
}

func batch(from, n int) []*hraft.Log {
	logs := make([]*hraft.Log, n)
	for i := range logs {
		logs[i] = &hraft.Log{Index: uint64(from + i), Term: 1, Data: make([]byte, 100), AppendedAt: time.Now()}
	}
	return logs
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []int{1, 16, 64, 512} {
		b.Run(fmt.Sprint("batch=", n), func(b *testing.B) {
			s := benchStore(b)
			logs := batch(1, n)
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				if err := s.StoreLogs(logs); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
				for _, l := range logs {
					l.Index += uint64(n)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
			report(b, took)
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "max-ms")
}

func BenchmarkGetLog(b *testing.B) {
	const held = 20_000
	s := benchStore(b)
	for i := 1; i < held; i += 500 {
		if err := s.StoreLogs(batch(i, 500)); err != nil {
			b.Fatal(err)
		}
	}
	for name, first := range map[string]uint64{"old": 1, "recent": held - 1000} {
		b.Run(name, func(b *testing.B) {
			var l hraft.Log
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				if err := s.GetLog(first+n%1000, &l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, held := range []int{0, 80_000} {
		b.Run(fmt.Sprint("entries=", held), func(b *testing.B) {
			s := benchStore(b)
			for i := 1; i < held; i += 500 {
				if err := s.StoreLogs(batch(i, 500)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				s = mustOpen(b, s.dir, Options{})
			}
		})
	}
}

type idle struct{}

func (idle) Apply(*hraft.Log) any                 { return nil }
func (idle) ApplyBatch(l []*hraft.Log) []any      { return make([]any, len(l)) }
func (idle) Snapshot() (hraft.FSMSnapshot, error) { return nil, io.EOF }
func (idle) Restore(r io.ReadCloser) error        { return r.Close() }

// BenchmarkRaft is 64 clients that push 100 bytes each through one peer or three, all in this process.
func BenchmarkRaft(b *testing.B) {
	for _, peers := range []int{1, 3} {
		b.Run(fmt.Sprint("peers=", peers), func(b *testing.B) { benchRaft(b, cluster(b, peers), 64) })
	}
}

func cluster(b *testing.B, peers int) *hraft.Raft {
	conf := hraft.DefaultConfig()
	conf.MaxAppendEntries, conf.BatchApplyCh = 512, true
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 250*time.Millisecond
	conf.SnapshotThreshold, conf.SnapshotInterval = 1<<40, time.Hour
	conf.Logger, conf.NoLegacyTelemetry = hclog.NewNullLogger(), true
	var transports []*hraft.InmemTransport
	var all hraft.Configuration
	for i := range peers {
		at, t := hraft.NewInmemTransport(hraft.ServerAddress(fmt.Sprint("peer", i)))
		for _, u := range transports {
			t.Connect(u.LocalAddr(), u)
			u.Connect(at, t)
		}
		transports = append(transports, t)
		all.Servers = append(all.Servers, hraft.Server{ID: hraft.ServerID(at), Address: at})
	}
	leads := make(chan *hraft.Raft, peers)
	for i, t := range transports {
		s, c, snapshots := benchStore(b), *conf, hraft.NewDiscardSnapshotStore()
		c.LocalID = all.Servers[i].ID
		if err := hraft.BootstrapCluster(&c, s, s, snapshots, t, all); err != nil {
			b.Fatal(err)
		}
		r, err := hraft.NewRaft(&c, idle{}, s, s, snapshots, t)
		if err != nil {
			b.Fatal(err)
		}
		over := make(chan struct{})
		go func() {
			select {
			case <-r.LeaderCh():
				leads <- r
			case <-over:
			}
		}()
		b.Cleanup(func() {
			close(over)
			if err := r.Shutdown().Error(); err != nil {
				b.Error(err)
			}
		})
	}
	select {
	case r := <-leads:
		if err := r.Barrier(10 * time.Second).Error(); err != nil {
			b.Fatal(err)
		}
		return r
	case <-time.After(10 * time.Second):
		b.Fatal("no leader")
		return nil
	}
}

func benchRaft(b *testing.B, leader *hraft.Raft, clients int) {
	data := make([]byte, 100)
	work := make(chan struct{}, 1024)
	go func() {
		for range b.N {
			work <- struct{}{}
		}
		close(work)
	}()
	var all sync.Mutex
	var took []time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			var mine []time.Duration
			for range work {
				began := time.Now()
				if err := leader.Apply(data, 10*time.Second).Error(); err != nil {
					b.Error(err)
				}
				mine = append(mine, time.Since(began))
			}
			all.Lock()
			defer all.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
	report(b, took)
}
