package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vera/client"
	"vera/test/cluster"
)

// list reads a list.
func list(t *testing.T, p *cluster.Peer, path string) (l client.Listing) {
	t.Helper()
	text, err := p.Get(path)
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return l
}

// length waits until a list has so many items.
func length(t *testing.T, p *cluster.Peer, path string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s to have %d items", path, n), func() error {
		if l := list(t, p, path); len(l.Items) != n {
			return fmt.Errorf("it has %d", len(l.Items))
		}
		return nil
	})
}

// has waits until something was printed.
func has(t *testing.T, j *cluster.Journal, words string) {
	t.Helper()
	eventually(t, words, func() error {
		if !strings.Contains(j.String(), words) {
			return errors.New("printed: " + j.String())
		}
		return nil
	})
}

func (b *background) status(t *testing.T) int {
	t.Helper()
	b.await(t)
	return b.ProcessState.ExitCode()
}

func (b *background) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := b.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestPushHoldsItsItemWhileACommandRuns(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	server := "--server=http://" + p.Client
	pushed := start(t, c.Binary(), "push", "/data/held", `{"n":1}`, server, "--exec",
		`echo "$VERA_PATH $VERA_VERSION $VERA_SESSION $VERA_SERVER"; trap "echo told; exit 7" TERM; while :; do sleep 0.05; done`)
	has(t, pushed.out, "/data/held")
	held := list(t, p, "/data/held").Items
	if len(held) != 1 {
		t.Fatalf("held: %+v", held)
	}
	if want := fmt.Sprintf("/data/held %d %s http://%s\n", held[0].Version, held[0].Session, p.Client); pushed.out.String() != want {
		t.Errorf("the command had %q, not %q", pushed.out, want)
	}
	pushed.signal(t, syscall.SIGTERM)
	if status := pushed.status(t); status != 7 || !strings.HasSuffix(pushed.out.String(), "told\n") {
		t.Errorf("ended with %d: %s", status, pushed.out)
	}
	length(t, p, "/data/held", 0)

	for script, want := range map[string]int{"exit 0": 0, "exit 75": 75, "kill -9 $$": 137, "/nowhere/at/all 2>/dev/null": 127} {
		if _, said, status := run(t, c.Binary(), "push", "/data/short", "{}", server, "--exec", script); status != want || said != "" {
			t.Errorf("%s: %d %s", script, status, said)
		}
	}
}

func TestACommandIsStoppedWhenItsItemIsLost(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	obedient := `trap "echo told; exit 0" TERM; while :; do sleep 0.05; done`
	pushed := start(t, c.Binary(), "push", "/data/lost", "{}", "--server", "http://"+p.Client, "--exec", obedient)
	length(t, p, "/data/lost", 1)
	led := start(t, c.Binary(), "elect", "/data/lost", "--server", "http://"+p.Client, "--", "sh", "-c", "echo leads; sleep 1000")
	again := start(t, c.Binary(), "elect", "/data/again", "--again", "--server", "http://"+p.Client, "--", "sh", "-c", "echo fence $VERA_FENCE; sleep 1000")
	length(t, p, "/data/lost", 2)
	has(t, again.out, "fence ")
	end := func(path string) {
		t.Helper()
		must(t, c, p, "sessions", "end", list(t, p, path).Items[0].Session)
	}
	end("/data/lost")
	if status := pushed.status(t); status != 75 || pushed.out.String() != "told\n" || strings.Count(pushed.err.String(), "vera: ") != 1 {
		t.Errorf("push: %d %s%s", status, pushed.out, pushed.err)
	}
	has(t, led.out, "leads")
	end("/data/lost")
	if status := led.status(t); status != 75 || !strings.Contains(led.err.String(), "session ended") {
		t.Errorf("elect: %d %s", status, led.err)
	}
	end("/data/again")
	eventually(t, "another fence", func() error {
		if strings.Count(again.out.String(), "fence ") != 2 {
			return errors.New(again.out.String())
		}
		return nil
	})
	again.signal(t, syscall.SIGTERM)
	if status := again.status(t); status != 128+int(syscall.SIGTERM) {
		t.Errorf("elect --again: %d %s", status, again.err)
	}
	length(t, p, "/data/again", 0)
}

// TestWatchRunsACommandForEachNotification has a command that takes its time
// while the list changes: it is told of all that in one, and of the last state.
func TestWatchRunsACommandForEachNotification(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	script := `read -r told; echo "$VERA_PATH $VERA_INDEX $VERA_ETAG $VERA_ITEMS head=$VERA_HEAD $told"; while [ ! -e ` + gate + ` ]; do sleep 0.02; done; exit 3`
	w := start(t, c.Binary(), "watch", "/data/busy", "--server", "http://"+p.Client, "--exec", script)
	has(t, w.out, "/data/busy")
	holder := call(t, p.Client, client.Options{})
	var first, last client.Listing
	for n := range 20 {
		l, err := holder.Push(within(t), "/data/busy", map[string]int{"n": n})
		if err != nil {
			t.Fatal(err)
		}
		if last = l; n == 0 {
			first = l
		}
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	has(t, w.out, fmt.Sprintf("/data/busy %d %s 20 head=%d {", last.Index, last.ETag, first.Version))
	lines := strings.Split(strings.TrimSpace(w.out.String()), "\n")
	if len(lines) > 3 || !strings.Contains(lines[0], " 0 0 head= {") {
		t.Errorf("20 changes while a command ran were told in %d: %v", len(lines)-1, lines)
	}
	_, text, _ := strings.Cut(lines[len(lines)-1], " {")
	var n client.Notification
	if err := json.Unmarshal([]byte("{"+text), &n); err != nil || len(n.Items) != 20 {
		t.Errorf("%v: %s", err, text)
	}
	has(t, w.err, "exit status 3") // and it goes on
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	has(t, w.out, " 0 head= {")
	w.signal(t, syscall.SIGTERM) // while a command runs: it ends as well
	if status := w.status(t); status != 0 {
		t.Errorf("%d %s", status, w.err)
	}
}
