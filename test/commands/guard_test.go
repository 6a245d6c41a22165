package commands

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vera/test/cluster"
)

// guard is `vera guard`, the process between vera and a command that must stop
// in time, driven as vera drives it.
type guard struct {
	*background
	t       *testing.T
	moments *os.File
	reports *json.Decoder
}

// guarding starts a guard, wrapped in another command when there is one.
func guarding(t *testing.T, wrap []string, script string) *guard {
	t.Helper()
	line := append(wrap, cluster.Prepare(t, 0, cluster.Options{}).Binary(), "guard", "--", "sh", "-c", script)
	momentsOut, momentsIn, err := os.Pipe()
	reportsOut, reportsIn, err2 := os.Pipe()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	g := &guard{&background{Cmd: exec.Command(line[0], line[1:]...), out: &cluster.Journal{}, err: &cluster.Journal{}, exited: make(chan struct{})}, t, momentsIn, json.NewDecoder(reportsOut)}
	g.WaitDelay = cluster.Patience // for whoever is left with its output
	g.Stdout, g.Stderr, g.ExtraFiles = g.out, g.err, []*os.File{momentsOut, reportsIn}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.failed = g.Wait()
		close(g.exited)
	}()
	for _, f := range g.ExtraFiles {
		_ = f.Close() // the guard has it
	}
	t.Cleanup(func() {
		_, _ = momentsIn.Close(), g.Process.Signal(syscall.SIGCONT)
		g.await(t)
		_ = reportsOut.Close()
		if t.Failed() {
			t.Logf("it wrote:\n%s%s", g.out, g.err)
		}
	})
	return g
}

// boot is the clock that guards go by.
func boot(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

const forever = time.Duration(math.MaxInt64)

// tell sends the moments of SIGTERM and SIGKILL.
func (g *guard) tell(term, kill time.Duration) {
	g.t.Helper()
	b := binary.BigEndian.AppendUint64(nil, uint64(term))
	if _, err := g.moments.Write(binary.BigEndian.AppendUint64(b, uint64(kill))); err != nil {
		g.t.Fatal(err)
	}
}

type guardReport struct {
	Started, Status                int
	Stopping, Over, Ended, Stopped bool
	Error                          string
}

// until reads reports up to one.
func (g *guard) until(what string, is func(r guardReport) bool) (r guardReport) {
	g.t.Helper()
	for {
		var next guardReport
		if err := g.reports.Decode(&next); err != nil {
			g.t.Fatalf("waited for the report %q: %v; last %+v; %s", what, err, r, g.err)
		}
		if r = next; is(r) {
			return r
		}
	}
}

func (g *guard) started() int {
	g.t.Helper()
	return g.until("started", func(r guardReport) bool { return r.Started != 0 }).Started
}

func (g *guard) stops() {
	g.t.Helper()
	g.until("stopping", func(r guardReport) bool { return r.Stopping })
}

func (g *guard) ends() guardReport {
	g.t.Helper()
	return g.until("ended", func(r guardReport) bool { return r.Ended })
}

// numbers waits until a script has written some process numbers to a file.
func numbers(t *testing.T, file string, n int) (pids []int) {
	t.Helper()
	eventually(t, "process numbers", func() error {
		text, err := os.ReadFile(file)
		pids = nil
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
		if err == nil && len(pids) < n {
			err = fmt.Errorf("only %v", pids)
		}
		return err
	})
	return pids
}

// stubborn writes the numbers of three processes that obey no SIGTERM: the
// command, its child, and one that left its process group.
func stubborn(file string) string {
	return fmt.Sprintf(`trap "" TERM; sleep 1000 & child=$!; setsid sh -c 'echo $$ >>%[1]s; exec sleep 1000' & echo $$ $child >>%[1]s; while :; do sleep 1000; done`, file)
}

func allGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		eventually(t, "a process to be gone", func() error { return gone(pid) })
	}
}

func TestTheGuardKillsWhatDoesNotStop(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	g := guarding(t, nil, stubborn(file))
	g.tell(forever, forever)
	g.started()
	pids := numbers(t, file, 3)
	now := boot(t)
	g.tell(now+200*time.Millisecond, now+600*time.Millisecond)
	g.stops()
	if at := boot(t); at < now+200*time.Millisecond {
		t.Errorf("SIGTERM after %v", at-now)
	}
	g.until("over", func(r guardReport) bool { return r.Over })
	if at := boot(t); at < now+600*time.Millisecond || at > now+3*time.Second {
		t.Errorf("over after %v", at-now)
	}
	for _, pid := range pids {
		if err := gone(pid); err != nil && pid != g.Process.Pid && alive(pid) {
			t.Error(err)
		}
	}
	if last := g.ends(); last.Status != 128+int(syscall.SIGKILL) || !last.Stopped {
		t.Errorf("%+v", last)
	}
	allGone(t, pids)
}

// alive says whether a process is there and no zombie.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestTheGuardStopsACommandWithoutVera(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, script string
		status       int
	}{
		{"obedient", `trap "exit 9" TERM; while :; do sleep 0.05; done`, 9},
		{"standing still", `kill -STOP $$; exit 9`, 128 + int(syscall.SIGTERM)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := guarding(t, nil, "echo up; "+row.script)
			g.tell(forever, forever)
			g.started()
			eventually(t, "the command to be up", func() error {
				if g.out.String() == "" {
					return errors.New("nothing printed")
				}
				return nil
			})
			if err := g.moments.Close(); err != nil {
				t.Fatal(err)
			}
			if last := g.ends(); last.Status != row.status || !last.Stopped {
				t.Errorf("%+v", last)
			}
		})
	}
}

func TestTheGuardStartsNothingTooLate(t *testing.T) {
	t.Parallel()
	g := guarding(t, nil, "echo started")
	g.tell(boot(t), forever)
	if last := g.ends(); !last.Stopped {
		t.Errorf("%+v", last)
	}
	if g.await(t); g.out.String() != "" {
		t.Errorf("it was started: %s", g.out)
	}
}

func TestTheGuardTellsHowItsCommandEnded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	g := guarding(t, nil, fmt.Sprintf(`setsid sleep 1000 & echo $! >%s; sleep 1000 & exit 7`, file))
	g.tell(forever, forever)
	if last := g.ends(); last.Status != 7 || last.Stopped {
		t.Errorf("%+v", last)
	}
	allGone(t, numbers(t, file, 1)) // what it left behind
}

// TestAStoppedGuardReadsWhatWaits stops the guard until its moment is over,
// while more time is told: when it goes on it must not act on the old moment.
func TestAStoppedGuardReadsWhatWaits(t *testing.T) {
	t.Parallel()
	g := guarding(t, nil, "sleep 1000")
	now := boot(t)
	g.tell(now+time.Second, forever)
	g.started()
	if err := g.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g.tell(now+3*time.Second, forever)
	eventually(t, "its moment to be over", func() error {
		if boot(t) < now+1200*time.Millisecond {
			return errors.New("not yet")
		}
		return nil
	})
	if err := g.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	g.stops()
	if at := boot(t); at < now+3*time.Second {
		t.Errorf("SIGTERM after %v", at-now)
	}
}

func TestACommandEndsWithItsGuard(t *testing.T) {
	t.Parallel()
	g := guarding(t, nil, "trap '' TERM; exec sleep 1000")
	g.tell(forever, forever)
	pid := g.started()
	if err := g.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command to be gone", func() error { return gone(pid) })
	g.await(t)
	if _, err := g.reports.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("somebody else has the guard's pipe: %v", err)
	}
}

// TestTheGuardsClockGoesOnInSleep runs the guard where the clock that counts
// sleep is a day ahead of the one that does not: it goes by the former.
func TestTheGuardsClockGoesOnInSleep(t *testing.T) {
	t.Parallel()
	const slept = 86400 * time.Second
	wrap := []string{"unshare", "--time", "--boottime", fmt.Sprint(int(slept.Seconds())), "--fork"}
	if err := exec.Command(wrap[0], append(wrap[1:], "true")...).Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("a time namespace: %v", err)
		}
		t.Skipf("SKIPPED: a time namespace: %v", err)
	}
	g := guarding(t, wrap, "sleep 1000")
	now := boot(t)
	g.tell(now+slept+time.Second, now+slept+10*time.Second)
	g.started()
	g.stops()
	if at := boot(t); at < now+time.Second || at > now+5*time.Second {
		t.Errorf("SIGTERM after %v", at-now)
	}
}
