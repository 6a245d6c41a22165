package test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vera/test/ports"
)

// racedDir is where raced builds; TestMain removes it.
var racedDir string

// raced builds the binary with the race detector, once.
var raced = sync.OnceValues(func() (string, error) {
	var err error
	if racedDir, err = os.MkdirTemp("", "vera-raced"); err != nil {
		return "", err
	}
	bin := filepath.Join(racedDir, "vera")
	out, err := exec.Command("go", "build", "-race", "-o", bin, "../cmd/vera").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

// ours is the peer that tests share which need no flags and break nothing.
var ours sharedPeer

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen { // most tests wait for time to pass, not for a core
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	machine.running.Go(machine.run)
	code := m.Run()
	close(machine.stop)
	machine.running.Wait()
	if err := ours.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the shared peer:", err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if racedDir != "" {
		_ = os.RemoveAll(racedDir) // a leftover in the temporary folder hurts nobody
	}
	os.Exit(code)
}

// journal keeps what a peer's processes write to stderr.
type journal struct {
	mu      sync.Mutex
	text    []byte
	partial []byte
	heard   chan listening // of the process that runs
}

// listening is the line that says where a peer can be reached.
type listening struct {
	Message string `json:"message"`
	Client  string `json:"client"`
	Admin   string `json:"admin"`
}

// Write keeps p and hears of the listeners in it.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, p...)
	j.partial = append(j.partial, p...)
	for {
		line, rest, whole := bytes.Cut(j.partial, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		j.partial = rest
		var l listening
		if json.Unmarshal(line, &l) == nil && l.Message == "listening" && l.Client != "" {
			select {
			case j.heard <- l:
			default:
			}
		}
	}
}

// String returns all of it.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

// tail returns the last lines, for a person who looks for what went wrong.
func (j *journal) tail(lines int) string {
	all := strings.SplitAfter(j.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// alarm returns the first line that no peer may ever write.
func (j *journal) alarm() string {
	for line := range strings.Lines(j.String()) {
		for _, word := range []string{"DATA RACE", "panic", "fatal error"} {
			if strings.Contains(line, word) {
				return line
			}
		}
	}
	return ""
}

// peer is a peer and its data directory, through all its processes.
type peer struct {
	dir           string
	flags         []string
	descriptors   int // that its process may open; 0: as many as this one
	log           *journal
	client, admin string       // addresses, kept over restarts; "": of block
	block         *ports.Block // reserved when first wanted
	listens       bool         // the addresses are those in use

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd is over
	failed error         // of cmd, once exited is closed
}

// startPeer starts a peer on a fresh data directory. At the test's end it is
// stopped, must exit with 0 and must not have written of a race or a panic.
func startPeer(t testing.TB, flags ...string) *peer {
	t.Helper()
	return startPeerAt(t, "", flags...)
}

// startPeerAt is startPeer with an address for the admin listener, unless that is "".
func startPeerAt(t testing.TB, adminAddr string, flags ...string) *peer {
	t.Helper()
	p := &peer{dir: filepath.Join(t.TempDir(), "data"), flags: flags, admin: adminAddr}
	p.launch(t)
	return p
}

// launch starts p for as long as the test runs.
func (p *peer) launch(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		if err := p.finish(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the peer wrote, at last:\n%s", p.log.tail(60))
		}
	})
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// prepare returns the command that serves p's data directory.
func (p *peer) prepare() (*exec.Cmd, error) {
	bin, err := raced()
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	if p.log == nil {
		p.log = &journal{heard: make(chan listening, 1)}
	}
	if p.block == nil {
		if p.block, err = ports.Reserve(2); err != nil {
			return nil, err
		}
	}
	p.client, p.admin = cmp.Or(p.client, p.block.Address(0)), cmp.Or(p.admin, p.block.Address(1))
	args := []string{"serve", "--data-dir", p.dir, "--client-addr", p.client, "--admin-addr", p.admin, "--drain", "500ms"}
	cmd := exec.Command(bin, append(args, p.flags...)...)
	if p.descriptors != 0 {
		line := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, p.descriptors)
		cmd = exec.Command("sh", append([]string{"-c", line, bin}, cmd.Args[1:]...)...)
	}
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66")
	cmd.Stderr = p.log
	return cmd, nil
}

// start starts a process on the data directory, with the addresses of the one
// before it, and waits until it listens.
func (p *peer) start() error {
	cmd, err := p.prepare()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.exited, p.failed = cmd, make(chan struct{}), nil
	exited := p.exited
	go func() {
		p.failed = cmd.Wait()
		close(exited)
	}()
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	select {
	case l := <-p.log.heard:
		if p.listens { // others may be reading where
			return nil
		}
		p.client, p.admin, p.listens = l.Client, l.Admin, true
		return nil
	case <-exited:
		return fmt.Errorf("the peer did not start: %w\n%s", p.failed, p.log.tail(30))
	case <-patience.C:
		return fmt.Errorf("the peer did not say within 20 s where it listens:\n%s", p.log.tail(30))
	}
}

// url is the client listener's.
func (p *peer) url() string { return "http://" + p.client }

// signal sends a signal to the process.
func (p *peer) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v: %v", s, err)
	}
}

// kill ends the process as kill -9 does, and waits until it is over.
func (p *peer) kill(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.exited
}

// restart starts a process after one is over.
func (p *peer) restart(t testing.TB) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// terminate sends SIGTERM and waits for the end, which must come with 0.
func (p *peer) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("SIGTERM: %w", err)
	}
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	select {
	case <-p.exited:
		if p.failed != nil {
			return fmt.Errorf("the peer ended with %w after SIGTERM", p.failed)
		}
		return nil
	case <-patience.C:
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it writes what its goroutines do
		<-p.exited
		return errors.New("the peer did not end within 20 s of SIGTERM")
	}
}

// finish stops what still runs and searches the journal.
func (p *peer) finish() error {
	if p.cmd == nil {
		return nil
	}
	defer p.block.Release()
	var errs []error
	select {
	case <-p.exited:
	default:
		errs = append(errs, p.terminate())
	}
	if line := p.log.alarm(); line != "" {
		errs = append(errs, fmt.Errorf("the peer wrote: %s%s", line, p.log.tail(200)))
	}
	return errors.Join(errs...)
}

// sharedPeer starts with the first test that wants it and ends with the last.
type sharedPeer struct {
	once sync.Once
	peer *peer
	dir  string
	err  error
}

// shared returns the peer that tests have in common. It must be as good after
// a test as before: each test keeps to lists of its own name.
func shared(t testing.TB) *peer {
	t.Helper()
	ours.once.Do(func() {
		if ours.dir, ours.err = os.MkdirTemp("", "vera-shared"); ours.err != nil {
			return
		}
		ours.peer = &peer{dir: filepath.Join(ours.dir, "data")}
		ours.err = ours.peer.start()
	})
	if ours.err != nil {
		t.Fatal(ours.err)
	}
	mark := len(ours.peer.log.String())
	t.Cleanup(func() {
		if t.Failed() {
			wrote := ours.peer.log.String()[mark:]
			t.Logf("the shared peer wrote meanwhile:\n%s", wrote[max(0, len(wrote)-8000):])
		}
	})
	return ours.peer
}

func (s *sharedPeer) stop() error {
	if s.peer == nil {
		return nil
	}
	err := s.peer.finish()
	return errors.Join(err, os.RemoveAll(s.dir))
}
