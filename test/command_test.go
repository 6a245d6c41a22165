package test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"vera/client"
)

// vera prepares a command of the binary that speaks with p.
func (p *peer) vera(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := raced()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), "VERA_SERVER="+p.url(), "GORACE=halt_on_error=1 exitcode=66")
	return cmd
}

func TestCommandPushHoldsItsItemUntilInterrupted(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	w := call(t, p, client.Options{}).watch("/data/held")
	cmd := p.vera(t, "push", "/data/held", `{"by":"a shell"}`)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := w.next()
	if len(n.Added) != 1 || string(n.Added[0].Data) != `{"by":"a shell"}` {
		t.Fatalf("told %s", text(n))
	}
	printed, err := p.vera(t, "get", "/data/held", "--json").Output()
	if err != nil || !strings.Contains(string(printed), `{"by":"a shell"}`) {
		t.Errorf("get printed %s, %v", printed, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, reason := w.removal(n.Added[0].Version); reason != "closed" {
		t.Errorf("reason %q", reason)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCommandWatchPrintsALineANotification(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	cmd := p.vera(t, "watch", "/data/watched")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var n client.Notification
	next := func() {
		t.Helper()
		n = client.Notification{}
		if !lines.Scan() {
			t.Fatalf("no line: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
	}
	if next(); len(n.Items) != 0 {
		t.Errorf("began with %s", text(n))
	}
	item := call(t, p, client.Options{}).push("/data/watched", number(1))
	if next(); len(n.Added) != 1 || n.Added[0].Version != item.Version {
		t.Errorf("told %s", text(n))
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	for _, row := range []struct {
		args []string
		exit int
		word string
	}{
		{[]string{"get", "/nowhere"}, 2, "path"},
		{[]string{"push", "/data/a", "[1]"}, 2, "object"},
		{[]string{"get", "/data/a", "--server", "http://127.0.0.1:1"}, 1, "127.0.0.1:1"},
		{[]string{"get"}, 2, "PATH"},
	} {
		cmd := p.vera(t, row.args...)
		var said strings.Builder
		cmd.Stderr = &said
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != row.exit || !strings.Contains(said.String(), row.word) {
			t.Errorf("vera %v: %v, said %s", row.args, err, said.String())
		}
	}
}
