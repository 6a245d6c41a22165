package commands

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vera/test/cluster"
)

func TestElectRunsItsCommandWhileItLeads(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	elect := func(more ...string) *background {
		return start(t, c.Binary(), append([]string{"elect", "/data/led", "--server", "http://" + p.Client}, more...)...)
	}
	gate := filepath.Join(t.TempDir(), "gate")
	first := elect("--data", `{"who":"first"}`, "--", "sh", "-c", fmt.Sprintf(`echo "$VERA_PATH $VERA_FENCE $VERA_SERVER"; while [ ! -e %s ]; do sleep 0.02; done; exit 6`, gate))
	has(t, first.out, "/data/led")
	second := elect("--json", "--", "sh", "-c", "echo $VERA_FENCE; sleep 1000")
	length(t, p, "/data/led", 2)
	third := elect("--", "echo", "never")
	length(t, p, "/data/led", 3)
	items := list(t, p, "/data/led").Items
	if want := fmt.Sprintf("/data/led %d http://%s\n", items[0].Version, p.Client); first.out.String() != want || string(items[0].Data) != `{"who":"first"}` {
		t.Errorf("the first has %q, not %q; %s", first.out, want, items[0].Data)
	}
	third.signal(t, syscall.SIGINT)
	if status := third.status(t); status != 128+int(syscall.SIGINT) || third.out.String() != "" {
		t.Errorf("interrupted while waiting: %d %s", status, third.out)
	}
	if _, said, status := run(t, "touch", gate); status != 0 {
		t.Fatal(said)
	}
	if status := first.status(t); status != 6 {
		t.Errorf("the first: %d %s", status, first.err)
	}
	has(t, second.out, fmt.Sprintln(items[1].Version))
	has(t, second.err, `"state":"elected"`)
	second.signal(t, syscall.SIGTERM)
	if status := second.status(t); status != 128+int(syscall.SIGTERM) {
		t.Errorf("the second: %d %s", status, second.err)
	}
	length(t, p, "/data/led", 0)

	for line, want := range map[string]int{
		"elect /data/led echo hi": 2, "elect /data/led -- /nowhere/at/all": 127, "elect /data/led -- /": 126,
		"elect /data/led --grace 0 -- true": 2, "elect /data/led --data 7 -- true": 2, "elect data -- true": 2,
	} {
		if out, said, status := run(t, c.Binary(), strings.Fields(line)...); status != want || out != "" || !strings.HasPrefix(said, "vera: ") {
			t.Errorf("%s: %d %s%s", line, status, out, said)
		}
	}
}

// TestElectStopsItsCommandBeforeAnotherLeads breaks a candidate whose command
// obeys no SIGTERM and has a child, and another process that left its group:
// when the item is gone, nothing of that runs.
func TestElectStopsItsCommandBeforeAnotherLeads(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	for _, row := range []struct {
		name   string
		breaks func(t *testing.T, e *background, guard int)
		status int // -1: killed
	}{
		{"vera is killed", func(t *testing.T, e *background, _ int) { e.signal(t, syscall.SIGKILL) }, -1},
		{"vera stands still", func(t *testing.T, e *background, _ int) { e.signal(t, syscall.SIGSTOP) }, 75},
		{"the guard is killed", func(t *testing.T, _ *background, guard int) { kill(t, guard, syscall.SIGKILL) }, 75},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			path := "/data/" + strings.ReplaceAll(row.name, " ", "-")
			e := start(t, c.Binary(), "elect", path, "--grace", "1s", "--server", "http://"+p.Client, "--", "sh", "-c", "echo $PPID; "+stubborn(file))
			pids := numbers(t, file, 3)
			row.breaks(t, e, guardOf(t, e))
			length(t, p, path, 0)
			for _, pid := range pids {
				if alive(pid) {
					t.Errorf("the item is gone, and process %d runs", pid)
				}
			}
			if row.name == "vera stands still" {
				e.signal(t, syscall.SIGCONT)
			}
			if status := e.status(t); status != row.status {
				t.Errorf("%d, not %d: %s", status, row.status, e.err)
			}
		})
	}
}

// TestElectKillsItsCommandWhenTheGuardCannot has the guard stand still and then
// takes the only peer away.
func TestElectKillsItsCommandWhenTheGuardCannot(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	file := filepath.Join(t.TempDir(), "pids")
	e := start(t, c.Binary(), "elect", "/data/led", "--grace", "1s", "--server", "http://"+p.Client, "--", "sh", "-c", "echo $PPID; "+stubborn(file))
	pids := numbers(t, file, 3)
	kill(t, guardOf(t, e), syscall.SIGSTOP)
	p.Kill()
	killed := boot(t)
	if status := e.status(t); status != 75 {
		t.Errorf("%d %s", status, e.err)
	}
	t.Logf("vera ended after %v", boot(t)-killed)
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("vera is gone, and process %d runs", pid)
		}
	}
	p.Restart()
}

// guardOf is the parent of the command, which printed it first.
func guardOf(t *testing.T, e *background) (pid int) {
	t.Helper()
	eventually(t, "the guard's number", func() error {
		if _, err := fmt.Sscan(e.out.String(), &pid); err != nil {
			return errors.New("printed: " + e.out.String())
		}
		return nil
	})
	return pid
}

func kill(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}
