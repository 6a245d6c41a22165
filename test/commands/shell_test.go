package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vera/client"
	"vera/test/cluster"
)

// calm are flags of a cluster that elects nobody only because the machine is
// busy: for tests of who leads, and not of how soon.
func calm(more ...string) cluster.Options {
	return cluster.Options{Flags: append(more, "--raft-heartbeat", "2s", "--raft-election", "2s", "--raft-lease", "1500ms")}
}

// background is a command that runs.
type background struct {
	*exec.Cmd
	out, err *cluster.Journal
	exited   chan struct{}
	failed   error // once exited is closed
}

// start starts a command, which ends with the test.
func start(t *testing.T, name string, args ...string) *background {
	t.Helper()
	b := &background{Cmd: exec.Command(name, args...), out: &cluster.Journal{}, err: &cluster.Journal{}, exited: make(chan struct{})}
	b.Stdout, b.Stderr = b.out, b.err
	b.Env = append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66")
	b.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		b.failed = b.Wait()
		close(b.exited)
	}()
	t.Cleanup(func() {
		if b.runs() {
			_ = b.Process.Signal(syscall.SIGTERM) // or it has just ended
			b.await(t)
		}
		if strings.Contains(b.err.String(), "DATA RACE") || t.Failed() {
			t.Errorf("%s %v wrote:\n%s%s", name, args, b.out, b.err)
		}
	})
	return b
}

func (b *background) runs() bool {
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// await waits until the command is over.
func (b *background) await(t *testing.T) {
	t.Helper()
	select {
	case <-b.exited:
	case <-time.After(cluster.Patience):
		_ = b.Process.Kill()
		<-b.exited
		t.Errorf("%v did not end", b.Args)
	}
}

// run runs a command to its end and returns what it printed.
func run(t *testing.T, name string, args ...string) (out, errOut string, status int) {
	t.Helper()
	b := start(t, name, args...)
	b.await(t)
	return b.out.String(), b.err.String(), b.ProcessState.ExitCode()
}

// operate runs an operator's command of the cluster's binary against a peer.
func operate(t *testing.T, c *cluster.Cluster, p *cluster.Peer, args ...string) (out, errOut string, status int) {
	t.Helper()
	return run(t, c.Binary(), append(args, "--server", "http://"+p.Admin, "--admin-token-file", filepath.Join(filepath.Dir(p.Dir), "token"))...)
}

// must is operate, without a failure.
func must(t *testing.T, c *cluster.Cluster, p *cluster.Peer, args ...string) string {
	t.Helper()
	out, errOut, status := operate(t, c, p, args...)
	if status != 0 {
		t.Fatalf("vera %v: %d %s", args, status, errOut)
	}
	return out
}

// roles is what `vera peers` prints of a peer: roles by name.
func roles(t *testing.T, c *cluster.Cluster, p *cluster.Peer) map[string]string {
	t.Helper()
	var all []cluster.Seen
	out := must(t, c, p, "peers", "list", "--json")
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	by := map[string]string{}
	for _, seen := range all {
		by[seen.Name] = seen.Role
	}
	return by
}

// eventually asks until there is no error.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	if err := cluster.Ask(cluster.Patience, holds); err != nil {
		t.Fatalf("waited for %s: %v", what, err)
	}
}

// within bounds a wait.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), cluster.Patience)
	t.Cleanup(cancel)
	return ctx
}

// call connects a client, which is cut off at the test's end.
func call(t *testing.T, addr string, o client.Options) *client.Connection {
	t.Helper()
	c, err := client.Dial(within(t), "http://"+addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	return c
}

// pushes pushes through a peer, on a connection that is closed at once, and
// so tells whether it can be written to.
func pushes(addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, "http://"+addr, client.Options{})
	if err != nil {
		return err
	}
	_, err = c.Push(ctx, "/data/writable", map[string]int{"n": 1})
	return errors.Join(err, c.Close())
}

// gone says whether there is no such process.
func gone(pid int) error {
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("process %d is there: %v", pid, err)
	}
	return nil
}
