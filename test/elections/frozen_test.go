package elections

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vera/client"
	"vera/test/cluster"
)

// frozenGrace is the grace of those that want to lead.
const frozenGrace = time.Second

// court hears what leaders claim, and what others see of their items.
type court struct {
	mu     sync.Mutex
	pids   map[uint64]int      // of the process, by the item
	claims map[uint64][2]int64 // first and last moment that it said to lead, by the item
	gone   map[uint64]int64    // when the first observer was told that the item went
	heads  []uint64            // as the observers are told
}

// hear takes the words of one leader.
func (c *court) hear(word string) error {
	var version uint64
	var number int64
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, _ := fmt.Sscanf(word, "item %d %d", &version, &number); n == 2 {
		c.pids[version] = int(number)
		return nil
	}
	if _, err := fmt.Sscanf(word, "leads %d %d", &version, &number); err != nil {
		return fmt.Errorf("%q: %w", word, err)
	}
	span, known := c.claims[version]
	if !known {
		span[0] = number
	}
	span[1] = max(span[1], number)
	c.claims[version] = span
	return nil
}

// see takes what an observer was told.
func (c *court) see(n client.Notification) {
	now := time.Now().UnixNano()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range n.Removed {
		if _, known := c.gone[item.Version]; !known {
			c.gone[item.Version] = now
		}
	}
	if len(n.Items) > 0 && n.Items[0].Version > c.heads[len(c.heads)-1] {
		c.heads = append(c.heads, n.Items[0].Version)
	}
}

// head is the head as the observers know it, and its process.
func (c *court) head() (version uint64, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version = c.heads[len(c.heads)-1]
	return version, c.pids[version]
}

// claimed is when an item's process said last that it leads; 0: never.
func (c *court) claimed(version uint64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claims[version][1]
}

// judge compares claims with what others saw.
func (c *court) judge(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := int64(0)
	for _, version := range slices.Sorted(maps.Keys(c.claims)) {
		span := c.claims[version]
		if gone, is := c.gone[version]; is && span[1] >= gone {
			t.Errorf("item %d: its process said that it led %v after others saw the item gone", version, time.Duration(span[1]-gone))
		}
		if span[0] <= last {
			t.Errorf("item %d: its process led %v before the last leader had stopped", version, time.Duration(last-span[0]))
		}
		last = span[1]
	}
}

// observe watches at one peer until ctx is done.
func (c *court) observe(ctx context.Context, t *testing.T, p *cluster.Peer, path string) {
	observer, err := client.Connect(ctx, []string{p.Client}, client.Options{Connections: client.One})
	if err != nil {
		t.Error(err)
		return
	}
	defer observer.Close()
	for n, err := range observer.Watch(ctx, path) {
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		c.see(n)
	}
}

// start starts a process that wants to lead; shifted ones have a boot time of
// their own, days away from the others'.
func (c *court) start(t *testing.T, running *sync.WaitGroup, bin, path string, servers []string, shifted bool) (end func()) {
	t.Helper()
	line := append([]string{bin, path, frozenGrace.String()}, servers...)
	if shifted {
		line = append([]string{"unshare", "--time", "--boottime", "1000000", "--monotonic", "500000"}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	in, err := cmd.StdinPipe()
	out, wrong := cmd.StdoutPipe()
	var said strings.Builder
	cmd.Stderr = &said
	if err := errors.Join(err, wrong, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		words := bufio.NewScanner(out)
		for words.Scan() {
			if err := c.hear(words.Text()); err != nil {
				t.Error(err)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("a leader ended with %v: %s", err, said.String())
		}
	})
	return func() { _ = in.Close() }
}

// A process that is stopped for longer than its grace, and then goes on, never
// takes itself for the leader after others have seen its item gone; and no two
// ever lead at once.
func TestAFrozenLeaderStopsInTime(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "leader")
	if out, err := exec.Command("go", "build", "-o", bin, "./leader").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	peers := cluster.Start(t, 3, cluster.Options{Plain: true})
	c := &court{pids: map[uint64]int{}, claims: map[uint64][2]int64{}, gone: map[uint64]int64{}, heads: []uint64{0}}
	const path = "/data/frozen"
	var servers []string
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for _, p := range peers.Peers {
		servers = append(servers, p.Client)
		running.Go(func() { c.observe(ctx, t, p, path) })
	}
	shift := exec.Command("unshare", "--time", "--boottime", "1", "true").Run() == nil
	if !shift {
		t.Log("this machine has no time namespaces: all processes have one boot time")
	}
	var ends []func()
	for i := range 3 {
		ends = append(ends, c.start(t, &running, bin, path, servers, shift && i%2 == 1))
	}
	stopped := 0
	for n := range 8 {
		stopped += c.freeze(t, peers, n%4 != 3)
	}
	for _, end := range ends {
		end()
	}
	cancel()
	running.Wait()
	c.judge(t)
	t.Logf("%d of 8 freezes took the lead away; %d items led", stopped, len(c.claims))
	if stopped < 5 || len(c.claims) < 5 {
		t.Error("too little happened to show anything")
	}
}

// freeze stops the leader's process, for long or for a moment, and lets it go
// on. It says by 1 that another leads since.
func (c *court) freeze(t *testing.T, peers *cluster.Cluster, long bool) int {
	t.Helper()
	var version uint64
	var pid int
	peers.Await("a leader", func() error {
		version, pid = c.head()
		if pid == 0 || time.Since(time.Unix(0, c.claimed(version))) > 100*time.Millisecond {
			return fmt.Errorf("the head is %d, and claimed last %v ago", version, time.Since(time.Unix(0, c.claimed(version))))
		}
		return nil
	})
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if long {
		peers.Await("another head", func() error {
			if now, _ := c.head(); now == version {
				return errors.New("it is the same")
			}
			return nil
		})
		peers.Await("the other to lead", func() error {
			if now, _ := c.head(); c.claimed(now) == 0 {
				return errors.New("it says nothing")
			}
			return nil
		})
	} else {
		<-time.After(frozenGrace / 4) // it stands still for a moment
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	<-time.After(frozenGrace / 2) // in which it may say something wrong
	if now, _ := c.head(); now != version {
		return 1
	}
	return 0
}
