package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera/test/lean"
)

// plain builds the binary as it is shipped, without the race detector, once.
var plain = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vera-bench")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "vera")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/vera").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

// benchPeer is a peer under load: a process of its own, on disk, with fsync.
type benchPeer struct {
	client, admin string
	pid           int
}

func startBenchPeer(b *testing.B, flags ...string) benchPeer {
	b.Helper()
	bin, err := plain()
	if err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp(".", "bench-data")
	if err != nil {
		b.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	args := append([]string{"serve", "--data-dir", data, "--client-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--log-level", "warn",
		"--max-session-items", "100000000", "--max-list-items", "100000000", "--max-rate", "1000000", "--drain", "0s"}, flags...)
	cmd := exec.Command(bin, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	var addresses struct{ Client, Admin string }
	awaitBench(b, "addresses.json", func() bool {
		text, err := os.ReadFile(filepath.Join(data, "addresses.json"))
		return err == nil && json.Unmarshal(text, &addresses) == nil
	})
	return benchPeer{addresses.Client, addresses.Admin, cmd.Process.Pid}
}

// awaitBench asks until it holds, ten seconds at most.
func awaitBench(b *testing.B, what string, holds func() bool) {
	b.Helper()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for end := time.Now().Add(10 * time.Second); !holds(); <-ask.C {
		if time.Now().After(end) {
			b.Fatalf("waited 10 s for %s", what)
		}
	}
}

// report prints the median and the 99th percentile of durations.
func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	if len(took) == 0 {
		return
	}
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkPush counts pushes a second of 100 bytes through one peer, on disk
// with fsync, one under way a client, the load on the same cores.
func BenchmarkPush(b *testing.B) {
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			p := startBenchPeer(b)
			conns := make([]*lean.Client, clients)
			for i := range conns {
				c, err := lean.Dial(p.client, "", 4096)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Conn.Close()
				if _, err := c.Ask(pushOf(i)); err != nil {
					b.Fatal(err)
				}
				conns[i] = c
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			took := make([][]time.Duration, clients)
			var all sync.WaitGroup
			b.ResetTimer()
			for i, c := range conns {
				all.Go(func() {
					message := pushOf(i)
					for left.Add(-1) >= 0 {
						start := time.Now()
						if _, err := c.Ask(message); err != nil {
							b.Error(err)
							return
						}
						took[i] = append(took[i], time.Since(start))
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
			report(b, slices.Concat(took...))
		})
	}
}

// pushOf is a push of 100 bytes of data onto the client's own list.
func pushOf(i int) []byte {
	return fmt.Appendf(nil, `{"rid":1,"action":"push","path":"/data/bench/%d","limit":0,"data":{"fill":"%s"}}`, i, strings.Repeat("x", 89))
}

// BenchmarkNotify takes the time from sending a push to each of 1,000
// watchers' reading of the notification.
func BenchmarkNotify(b *testing.B) {
	const watchers = 1000
	p := startBenchPeer(b)
	var sent atomic.Int64 // when the push under way was sent, ns since start
	start := time.Now()
	told := make(chan time.Duration, watchers)
	for range watchers {
		c, err := lean.Dial(p.client, "", 1024)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Conn.Close()
		if _, err := c.Ask([]byte(`{"rid":1,"action":"watch","path":"/data/notify","items":false}`)); err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				if _, err := c.Receive(); err != nil {
					return
				}
				told <- time.Since(start) - time.Duration(sent.Load())
			}
		}()
	}
	c, err := lean.Dial(p.client, "", 4096)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Conn.Close()
	var took []time.Duration
	for b.Loop() {
		sent.Store(int64(time.Since(start)))
		if _, err := c.Ask([]byte(`{"rid":1,"action":"push","path":"/data/notify","limit":0,"data":{"a":1}}`)); err != nil {
			b.Fatal(err)
		}
		for range watchers {
			took = append(took, <-told)
		}
	}
	report(b, took)
}

// BenchmarkIdle holds 10,000 idle connections and reports what one costs the
// server's process: at once after the last handshake, and a minute later, when
// the memory that the handshakes needed was given back. What the first 500 cost
// is not counted: it is the program itself that they bring into memory.
func BenchmarkIdle(b *testing.B) {
	const connections = 10_000
	for b.Loop() {
		p := startBenchPeer(b, "--max-connections", "15000")
		hold(b, p, 500)()
		before := resident(b, p.pid)
		release := hold(b, p, connections)
		b.ReportMetric(float64(resident(b, p.pid)-before)/connections, "B/connection-at-once")
		least := resident(b, p.pid)
		minute, look := time.After(time.Minute), time.NewTicker(time.Second)
		for rested := false; !rested; {
			select {
			case <-look.C:
				least = min(least, resident(b, p.pid))
			case <-minute:
				rested = true
			}
		}
		look.Stop()
		b.ReportMetric(float64(least-before)/connections, "B/connection")
		release()
	}
}

// hold opens connections that nothing is said on, and returns what closes them.
func hold(b *testing.B, p benchPeer, n int) (release func()) {
	b.Helper()
	conns := make([]*lean.Client, n)
	for i := range conns {
		c, err := lean.Dial(p.client, "?heartbeatMs=600000", 512)
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = c
	}
	return func() {
		for _, c := range conns {
			_ = c.Conn.Close()
		}
	}
}

// resident is a process's memory, in bytes.
func resident(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
