package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

type whole interface {
	hraft.LogStore
	hraft.StableStore
	io.Closer
}

var segBytes = func() int64 { n, _ := strconv.ParseInt(os.Getenv("SEG"), 10, 64); return n }()

var candidates = []struct {
	name string
	open func(dir string) (whole, error)
}{
	{"pebble", func(dir string) (whole, error) { return openPebble(dir) }},
	{"pebble+cache", func(dir string) (whole, error) {
		p, err := openPebble(dir)
		if err != nil {
			return nil, err
		}
		c, err := hraft.NewLogCache(1024, p)
		return struct {
			*hraft.LogCache
			hraft.StableStore
			io.Closer
		}{c, p, p}, err
	}},
	{"segments", func(dir string) (whole, error) { return Open(dir, Options{SegmentBytes: segBytes}) }},
}

// benchDir is on the disk, also where the system's temporary directory is memory.
func benchDir(b testing.TB) string {
	dir, err := os.MkdirTemp(os.Getenv("VERA_BENCH_DIR"), "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "log")
}

func BenchmarkStoreLogs(b *testing.B) {
	for _, c := range candidates {
		for _, n := range []int{1, 16, 64, 512} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				s, err := c.open(benchDir(b))
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				batch := make([]*hraft.Log, n)
				for i := range batch {
					batch[i] = &hraft.Log{Index: uint64(i + 1), Term: 1, Data: make([]byte, 100), AppendedAt: time.Now()}
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := s.StoreLogs(batch); err != nil {
						b.Fatal(err)
					}
					for _, l := range batch {
						l.Index += uint64(n)
					}
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

type fsm struct{}

func (fsm) Apply(*hraft.Log) any                { return nil }
func (fsm) ApplyBatch(l []*hraft.Log) []any     { return make([]any, len(l)) }
func (fsm) Snapshot() (hraft.FSMSnapshot, error) { return nil, io.EOF }
func (fsm) Restore(io.ReadCloser) error         { return nil }

func BenchmarkRaft(b *testing.B) {
	for _, peers := range []int{1, 3} {
		for _, c := range candidates {
			b.Run(fmt.Sprintf("%s/peers=%d", c.name, peers), func(b *testing.B) { benchRaft(b, c.open, peers, 64) })
		}
	}
}

func cluster(b *testing.B, open func(string) (whole, error), peers int) *hraft.Raft {
	conf := hraft.DefaultConfig()
	conf.MaxAppendEntries, conf.BatchApplyCh = 512, true
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 250*time.Millisecond
	conf.SnapshotThreshold, conf.SnapshotInterval = 1<<40, time.Hour
	conf.Logger = hclog.NewNullLogger()
	conf.NoLegacyTelemetry = true
	var all []*hraft.Raft
	var trans []*hraft.InmemTransport
	var servers []hraft.Server
	for i := range peers {
		addr, t := hraft.NewInmemTransport(hraft.ServerAddress(fmt.Sprint("p", i)))
		trans = append(trans, t)
		servers = append(servers, hraft.Server{ID: hraft.ServerID(addr), Address: addr})
	}
	for i, t := range trans {
		for k, u := range trans {
			if k != i {
				t.Connect(u.LocalAddr(), u)
			}
		}
	}
	for i, t := range trans {
		s, err := open(benchDir(b))
		if err != nil {
			b.Fatal(err)
		}
		c := *conf
		c.LocalID = servers[i].ID
		snaps := hraft.NewDiscardSnapshotStore()
		if err := hraft.BootstrapCluster(&c, s, s, snaps, t, hraft.Configuration{Servers: servers}); err != nil {
			b.Fatal(err)
		}
		r, err := hraft.NewRaft(&c, fsm{}, s, s, snaps, t)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, r)
		b.Cleanup(func() { r.Shutdown().Error(); s.Close() })
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, r := range all {
			if r.State() == hraft.Leader && r.Barrier(time.Second).Error() == nil {
				return r
			}
		}
	}
	b.Fatal("no leader")
	return nil
}

func benchRaft(b *testing.B, open func(string) (whole, error), peers, clients int) {
	leader := cluster(b, open, peers)
	data := make([]byte, 100)
	var mu sync.Mutex
	var took []time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	share := make(chan struct{}, 1024)
	go func() {
		for range b.N {
			share <- struct{}{}
		}
		close(share)
	}()
	for range clients {
		wg.Go(func() {
			var mine []time.Duration
			for range share {
				at := time.Now()
				if err := leader.Apply(data, 10*time.Second).Error(); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	b.StopTimer()
	sort.Slice(took, func(i, k int) bool { return took[i] < took[k] })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
}

// TestSizes prints open time, memory and disk use.
func TestSizes(t *testing.T) {
	if os.Getenv("VERA_SIZES") == "" {
		t.Skip("VERA_SIZES is not set")
	}
	for _, c := range candidates {
		if want := os.Getenv("VERA_SIZES"); want != c.name {
			continue
		}
		dir := benchDir(t)
		s, err := c.open(dir)
		if err != nil {
			t.Fatal(err)
		}
		base := rss()
		i := uint64(0)
		for range 80000 / 64 {
			batch := make([]*hraft.Log, 64)
			for k := range batch {
				i++
				batch[k] = &hraft.Log{Index: i, Term: 1, Data: make([]byte, 100)}
			}
			if err := s.StoreLogs(batch); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		after := rss()
		s.Close()
		runtime.GC()
		var used int64
		filepath.Walk(dir, func(_ string, f os.FileInfo, _ error) error { used += f.Size(); return nil })
		began := time.Now()
		s, err = c.open(dir)
		opened := time.Since(began)
		if err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		var l hraft.Log
		for k := uint64(1); k <= i; k++ {
			if err := s.GetLog(k, &l); err != nil {
				t.Fatal(err)
			}
		}
		reads := time.Since(began)
		t.Logf("%s: rss empty %d KB, with 80,000 entries %d KB, files %d KB, open %v, read back %v an entry, rss %d KB", c.name, base, after, used>>10, opened, reads/80000, rss())
		s.Close()
		empty := benchDir(t)
		began = time.Now()
		s, _ = c.open(empty)
		fresh := time.Since(began)
		s.Close()
		began = time.Now()
		s, _ = c.open(empty)
		t.Logf("%s: open a new directory %v, an empty one again %v", c.name, fresh, time.Since(began))
		s.Close()
	}
}

func rss() int {
	b, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	n, _ := strconv.Atoi(strings.Fields(after)[0])
	return n
}
