package raft

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/raft/state"
)

const crashPath vera.Path = "/data/crash"

// victim is a peer in a process of its own that pushes until it is killed, and
// writes the version of each push that was acknowledged to its output.
func victim(dir string) {
	r, err := Open(context.Background(), Options{
		Dir: dir, Name: "a", FailoverGrace: time.Hour, Logger: zerolog.New(os.Stderr),
		SnapshotEntries: 200, SnapshotInterval: 20 * time.Millisecond, trailing: 100,
	})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	lives := make(chan uint64)
	id := vera.SessionOf([]byte(strconv.FormatUint(r.Incarnation(), 10)), "")
	r.Propose([]state.Command{{Kind: state.Open, Session: id, Grace: time.Hour}}, func(replies []state.Reply, err error) {
		lives <- replies[0].Life
	})
	life := <-lives
	fmt.Println("up", r.Incarnation())
	var send func()
	send = func() {
		commands := make([]state.Command, 16)
		for i := range commands {
			commands[i] = push(id, life, crashPath, i)
		}
		r.Propose(commands, func(replies []state.Reply, err error) {
			if err != nil {
				fmt.Println("error:", err)
				os.Exit(1)
			}
			var lines strings.Builder
			for i := range replies {
				fmt.Fprintln(&lines, replies[i].Version)
			}
			fmt.Print(lines.String()) // one write: acknowledged together, or not at all
			send()
		})
	}
	send()
	select {}
}

func TestKilledAgainAndAgainLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var acknowledged []uint64
	highest := uint64(0)
	for round := range 8 {
		got := kill(t, dir, 200+round*137)
		for _, v := range got {
			if v <= highest {
				t.Fatalf("round %d: version %d after %d", round, v, highest)
			}
			highest = v
		}
		acknowledged = append(acknowledged, got...)
	}
	o := quick(t, dir)
	o.FailoverGrace = time.Hour
	r := open(t, o)
	if got := r.Incarnation(); got != 9 {
		t.Errorf("the ninth start has incarnation %d", got)
	}
	l, _ := r.Machine().List(crashPath)
	for _, v := range acknowledged {
		if l.Find(v) == nil {
			t.Fatalf("version %d was acknowledged and is gone; %d of %d items are there", v, l.Len(), len(acknowledged))
		}
	}
	if err := r.Machine().Check(); err != nil {
		t.Error(err)
	}
	id, life := session(t, r, "after")
	if reply := propose(t, r, push(id, life, crashPath, 0))[0]; reply.Version <= highest {
		t.Errorf("version %d after %d", reply.Version, highest)
	}
	t.Logf("%d acknowledged pushes, %d items", len(acknowledged), l.Len())
}

// kill runs a victim until it has acknowledged some pushes, kills it with
// SIGKILL, and returns the versions that it acknowledged.
func kill(t *testing.T, dir string, after int) (versions []uint64) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "VERA_TEST_VICTIM="+dir)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that is not whole was not acknowledged
		}
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "up ") {
			continue
		}
		v, err := strconv.ParseUint(line, 10, 64)
		if err != nil {
			t.Fatalf("the victim says %q", line)
		}
		versions = append(versions, v)
		if len(versions) >= after && !killed {
			killed = true
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); !killed {
		t.Fatalf("the victim ended by itself: %v", err)
	}
	return versions
}
