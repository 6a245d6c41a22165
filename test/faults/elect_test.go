package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"vera/test/cluster"
)

const electGrace = time.Second

// candidate is a `vera elect` that runs where a peer does.
type candidate struct {
	cmd    *exec.Cmd
	peer   *cluster.Peer
	said   *bytes.Buffer // once exited is closed
	exited chan struct{}
}

// race is a list that candidates compete for, with the file that the leader's
// command writes to.
type race struct {
	t          *testing.T
	c          *cluster.Cluster
	file       string
	binary     string
	candidates []*candidate // by their numbers; some are dead
}

// stand starts a candidate.
func (r *race) stand(p *cluster.Peer, stubborn bool) *candidate {
	r.t.Helper()
	line := append(r.c.Within(p), r.binary, "elect", "/data/led", "--again", "--grace", electGrace.String(), "--server", "http://"+p.Client, "--", os.Args[0])
	k := &candidate{cmd: exec.Command(line[0], line[1:]...), peer: p, said: &bytes.Buffer{}, exited: make(chan struct{})}
	k.cmd.Env = append(os.Environ(), "VERA_TEST_FENCED_FILE="+r.file, "VERA_TEST_CANDIDATE="+strconv.Itoa(len(r.candidates)))
	if stubborn {
		k.cmd.Env = append(k.cmd.Env, "VERA_TEST_STUBBORN=1")
	}
	k.cmd.Stderr = k.said
	k.cmd.WaitDelay = 10 * time.Second
	// In a group of its own: a group that loses its last tie to a shell has its
	// stopped members continued.
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_ = k.cmd.Wait() // most are killed
		close(k.exited)
	}()
	r.candidates = append(r.candidates, k)
	return k
}

// end ends a candidate; its command ends with it.
func (k *candidate) end(s syscall.Signal) {
	_ = k.cmd.Process.Signal(s) // or it has ended
	_ = k.cmd.Process.Signal(syscall.SIGCONT)
	<-k.exited
}

// leader is the candidate whose command is at work, and the command's first
// mark, none of before a moment.
func (r *race) leader(since time.Duration) (lead *candidate, first mark) {
	r.t.Helper()
	err := cluster.Ask(2*cluster.Patience, func() error {
		all := marks(r.t, r.file)
		if len(all) == 0 {
			return errors.New("nobody writes")
		}
		last := all[len(all)-1]
		first = all[slices.IndexFunc(all, func(m mark) bool { return m.fence == last.fence })]
		lead = r.candidates[last.who]
		if first.at < since {
			return fmt.Errorf("still %d", last.fence)
		}
		return nil
	})
	if err != nil {
		r.t.Fatalf("waited for a command at work: %v", err)
	}
	return lead, first
}

// verdict says where two commands were at work at once: a mark of a lower fence
// behind one of a higher, by the file's order or by the clock.
func verdict(all []mark) error {
	var errs []error
	var highest, latest mark
	for _, m := range all {
		switch {
		case m.refused:
			errs = append(errs, fmt.Errorf("a mark of a leader that was late, at %v, when %d was at work already", m.at, m.fence))
		case m.fence > highest.fence:
			if m.at <= latest.at {
				errs = append(errs, fmt.Errorf("%d started %v before the last mark of %d", m.fence, latest.at-m.at, latest.fence))
			}
			highest = m
		}
		if m.at > latest.at {
			latest = m
		}
	}
	return errors.Join(errs...)
}

// electFaults happen to the candidate that leads. Each returns what ends it.
func electFaults(r *race) []struct {
	name string
	do   func(k *candidate) (after func())
} {
	replace := func(k *candidate, s syscall.Signal) {
		k.end(s)
		r.stand(k.peer, len(r.candidates)%2 == 0)
	}
	return []struct {
		name string
		do   func(k *candidate) (after func())
	}{
		{"kill -9", func(k *candidate) func() {
			_ = k.cmd.Process.Kill()
			return func() { replace(k, syscall.SIGKILL) }
		}},
		{"SIGSTOP", func(k *candidate) func() {
			_ = k.cmd.Process.Signal(syscall.SIGSTOP)
			return func() { _ = k.cmd.Process.Signal(syscall.SIGCONT) }
		}},
		{"partition", func(k *candidate) func() {
			r.c.Isolate(k.peer)
			return func() {
				r.c.Heal()
				r.c.AwaitWhole()
			}
		}},
	}
}

// TestElectNeverRunsTwoCommands has three `vera elect` compete, each where a
// peer runs, and breaks the one that leads: kill -9, SIGSTOP, or its peer and it
// cut off from the others. The commands write to one file, and never may two be at
// work at once. It prints how long nobody was.
func TestElectNeverRunsTwoCommands(t *testing.T) {
	rounds := 12
	if soak() {
		rounds = 200
	}
	c := cluster.Start(t, 3, cluster.Options{Net: true, Plain: true, Flags: []string{
		"--failover-grace", "2s", "--max-leader-time", "3s", "--raft-heartbeat", "1s", "--raft-election", "1s", "--raft-lease", "800ms"}})
	r := &race{t: t, c: c, file: filepath.Join(t.TempDir(), "fenced"), binary: c.Binary()}
	for i, p := range c.Peers {
		r.stand(p, i == 0)
	}
	t.Cleanup(func() {
		var ending sync.WaitGroup
		for _, k := range r.candidates {
			ending.Go(func() { k.end(syscall.SIGKILL) }) // and its guard the command
		}
		ending.Wait()
		if t.Failed() {
			for _, k := range r.candidates[max(0, len(r.candidates)-4):] {
				t.Logf("at %s:\n%s", k.peer.Name, k.said)
			}
		}
	})
	faults := electFaults(r)
	without := map[string][]time.Duration{}
	lead, _ := r.leader(0)
	for i := range rounds {
		f := faults[i%len(faults)]
		at := boottime()
		after := f.do(lead)
		next, first := r.leader(at)
		without[f.name] = append(without[f.name], first.at-at)
		without["all"] = append(without["all"], first.at-at)
		after()
		if err := verdict(marks(t, r.file)); err != nil {
			t.Fatalf("round %d, %s: %v", i, f.name, err)
		}
		lead = next
	}
	t.Logf("%d rounds, %d marks, never two at work at once", rounds, len(marks(t, r.file)))
	for name, all := range without {
		slices.Sort(all)
		t.Logf("without a leader after %s: p50 %v, p99 %v", name, all[len(all)/2].Round(time.Millisecond), all[len(all)*99/100].Round(time.Millisecond))
	}
}
