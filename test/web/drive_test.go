package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"vera/test/cluster"
)

// patience is how long a program may take. Each thing in it has a bound of its own.
const patience = 3 * time.Minute

func TestMain(m *testing.M) { cluster.Main(m) }

// needs skips what wants a thing that this machine lacks, and says so. In CI,
// or with VERA_REQUIRE_BROWSER=1, that is a failure.
func needs(t *testing.T, what string, has bool) {
	t.Helper()
	switch {
	case has:
	case os.Getenv("CI") == "true" || os.Getenv("VERA_REQUIRE_BROWSER") == "1":
		t.Fatalf("%s is missing", what)
	default:
		t.Skipf("SKIPPED, NOT SHOWN: %s is missing", what)
	}
}

// browser returns where Chromium is.
func browser(t *testing.T) string {
	t.Helper()
	_, err := exec.LookPath("node")
	needs(t, "node", err == nil)
	_, err = os.Stat("node_modules/playwright-core")
	needs(t, "test/web/node_modules (run npm ci in test/web)", err == nil)
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "/usr/bin/chromium"
	}
	_, err = os.Stat(chromium)
	needs(t, chromium, err == nil)
	return chromium
}

// drive runs a program of this folder to its end. A line of its output that
// names one of does asks for that, and is answered by a line when it is done.
func drive(t *testing.T, program string, does map[string]func(), env ...string) {
	t.Helper()
	chromium := browser(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, "node", program)
	cmd.Env = append(append(os.Environ(), "CHROMIUM="+chromium), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // then it ends Chromium, too
	cmd.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	answer, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	asked, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	for lines := bufio.NewScanner(asked); lines.Scan(); {
		do, known := does[lines.Text()]
		if !known {
			t.Log(lines.Text())
			continue
		}
		do()
		if _, err := io.WriteString(answer, "\n"); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, said.String())
	}
}

// present starts the example presence in front of peers, in that order, and
// returns where its page is.
func present(t *testing.T, peers ...*cluster.Peer) string {
	t.Helper()
	browser(t) // or the rest is not worth the time
	bin := filepath.Join(t.TempDir(), "presence")
	if out, err := exec.Command("go", "-C", "../../examples", "build", "-o", bin, "./presence").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var servers string
	for i, p := range peers {
		servers += []string{"", ","}[min(i, 1)] + "http://" + p.Client
	}
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-server", servers)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("presence: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url := regexp.MustCompile(`http://\S+`).FindString(line)
	if url == "" {
		t.Fatalf("presence said %q: %v", line, err)
	}
	return url
}

// times are flags that make a test short. They are longer where a machine that
// is slow could spoil it.
func times(grace time.Duration) []string {
	return []string{"--heartbeat", "1s", "--grace", fmt.Sprint(grace), "--failover-grace", "30s"}
}
