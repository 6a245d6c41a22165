package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Peer is one peer and its data directory, through all its processes.
type Peer struct {
	Name, Dir           string
	Client, Peer, Admin string // host:port of its listeners

	index   int
	c       *Cluster
	flags   []string
	log     *Journal
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd is over
	failed  error         // of cmd, once exited is closed
	stopped bool          // by SIGSTOP
	doomed  bool          // it may end by itself, with an error
}

// binaries are built once a process: with the race detector, and as shipped.
var raced, plain = build("-race"), build()

func build(flags ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) { return Build(flags...) })
}

// Build builds the binary with flags of go build, in a folder that outlives the
// test; Main deletes it.
func Build(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("vera-build-%d-", os.Getpid()))
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "vera")
	out, err := exec.Command("go", append(append([]string{"build"}, flags...), "-o", bin, "vera/cmd/vera")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return bin, nil
}

// removeBuilds deletes what this process built.
func removeBuilds() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("vera-build-%d-*", os.Getpid())))
	for _, dir := range old {
		_ = os.RemoveAll(dir) // a leftover in the temporary folder hurts nobody
	}
}

// Binary is what the cluster's peers run.
func (c *Cluster) Binary() string {
	c.t.Helper()
	if c.o.Bin != "" {
		return c.o.Bin
	}
	of := raced
	if c.o.Plain {
		of = plain
	}
	bin, err := of()
	if err != nil {
		c.t.Fatal(err)
	}
	return bin
}

// Launch starts a process on the data directory. It does not wait.
func (p *Peer) Launch() {
	p.c.t.Helper()
	line := append([]string{p.c.Binary()}, p.flags...)
	if p.c.o.Wrap != nil {
		line = append(p.c.o.Wrap(p.index), line...)
	}
	if p.c.net != nil {
		line = append([]string{"ip", "netns", "exec", p.c.net.space(p.index)}, line...)
	}
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66")
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.c.t.Fatalf("%s: %v", p.Name, err)
	}
	cmd, exited := p.cmd, make(chan struct{})
	p.exited = exited
	go func() {
		p.failed = cmd.Wait()
		close(exited)
	}()
}

// Runs says whether its process lives, be it stopped.
func (p *Peer) Runs() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal to its process.
func (p *Peer) Signal(s syscall.Signal) {
	p.c.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.c.t.Fatalf("%s: signal %v: %v", p.Name, s, err)
	}
}

// Kill ends it as kill -9 does, and waits until it is over.
func (p *Peer) Kill() {
	p.c.t.Helper()
	if p.Runs() {
		p.Signal(syscall.SIGKILL)
		<-p.exited
	}
	p.stopped = false
}

// Stop has it stand still, as a machine without time does.
func (p *Peer) Stop() {
	p.c.t.Helper()
	p.Signal(syscall.SIGSTOP)
	p.stopped = true
}

// Continue has it go on.
func (p *Peer) Continue() {
	p.c.t.Helper()
	p.Signal(syscall.SIGCONT)
	p.stopped = false
}

// Terminate sends SIGTERM and waits for the end, which must come with 0.
func (p *Peer) Terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s: SIGTERM: %w", p.Name, err)
	}
	if err := p.AwaitExit(Patience); err != nil {
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it writes what its goroutines do
		<-p.exited
		return fmt.Errorf("%s: after SIGTERM: %w", p.Name, err)
	}
	if p.failed != nil {
		return fmt.Errorf("%s: ended with %w after SIGTERM", p.Name, p.failed)
	}
	return nil
}

// AwaitExit waits until its process is over.
func (p *Peer) AwaitExit(patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
		return fmt.Errorf("it still runs after %v", patience)
	}
}

// ExitError is how its last process ended; nil for 0. It must be over.
func (p *Peer) ExitError() error { return p.failed }

// PID is its process's number.
func (p *Peer) PID() string { return fmt.Sprint(p.cmd.Process.Pid) }

// Doom lets the peer end by itself with an error, without failing the test.
func (p *Peer) Doom() { p.doomed = true }

// Restart starts a process after one is over and waits until it is ready.
func (p *Peer) Restart() {
	p.c.t.Helper()
	p.Launch()
	p.c.Await(p.Name+" to be ready", p.Ready)
}

// Log is all that its processes wrote.
func (p *Peer) Log() string { return p.log.String() }

// finish ends what still runs and searches the journal.
func (p *Peer) finish() {
	if p.cmd == nil {
		return
	}
	t := p.c.t
	if p.Runs() {
		if p.stopped {
			p.Continue()
		}
		// All peers end at the same time: nobody may wait for a majority.
		if err := p.Terminate(); err != nil && !p.doomed {
			t.Error(err)
		}
	}
	if line := p.log.alarm(); line != "" {
		t.Errorf("%s wrote: %s%s", p.Name, line, p.log.tail(200))
	}
	if t.Failed() {
		t.Logf("%s wrote, at last:\n%s", p.Name, p.log.tail(40))
	}
}

// Journal keeps what processes write, for reading while they run.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps p.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns all of it.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// tail returns the last lines, for a person who looks for what went wrong.
func (j *Journal) tail(lines int) string {
	all := strings.SplitAfter(j.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// alarm returns the first line that no peer may ever write.
func (j *Journal) alarm() string {
	for line := range strings.Lines(j.String()) {
		for _, word := range []string{"DATA RACE", "panic: ", "fatal error: ", "goroutine 1 ["} {
			if strings.Contains(line, word) {
				return line
			}
		}
	}
	return ""
}
