package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"vera/test/ports"
)

// peers is how many peers each system has.
const peers = 3

// system is three peers of one kind, each a process.
type system interface {
	name() string
	installed() error                            // nil when this machine can run it
	start(dir string, listen *ports.Block) error // on three ports each
	stop() error
	// dial connects a client to one of the peers; crash is what that client can
	// do at best to be missed soon when it dies.
	dial(peer int, crash bool) (client, error)
	// leader says which of the peers leads.
	leader() (int, error)
	process(peer int) *process
}

// client is one client of a system, used by one goroutine.
type client interface {
	// put makes an entry of 100 bytes that lives as long as the client, and
	// returns when it is committed.
	put(list string) error
	// watch has told called whenever a list changed, from another goroutine,
	// until the client is closed. It returns once the watch is in place.
	watch(list string, told func()) error
	// die drops the TCP connection without a word.
	die() error
	close() error
}

// process is one peer's process, through its restarts.
type process struct {
	path   string
	args   []string
	env    []string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// run starts it.
func (p *process) run() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	return nil
}

// kill ends it as kill -9 does.
func (p *process) kill() error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// killAll ends all processes.
func killAll(all []*process) error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p.kill())
	}
	return errors.Join(errs...)
}

// await asks until it holds, for half a minute at most.
func await(what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ask := time.NewTicker(5 * time.Millisecond)
	defer ask.Stop()
	for !holds() {
		select {
		case <-ask.C:
		case <-ctx.Done():
			return fmt.Errorf("waited 30 s for %s", what)
		}
	}
	return nil
}

// awaitPut waits until a client of each peer can put.
func awaitPut(s system) error {
	for i := range peers {
		var last error
		err := await("a first entry", func() bool {
			c, err := s.dial(i, false)
			if err != nil {
				last = err
				return false
			}
			last = errors.Join(c.put("first"), c.close())
			return last == nil
		})
		if err != nil {
			return fmt.Errorf("peer %d: %w: %w", i, err, last)
		}
	}
	return nil
}

func peerDir(dir string, peer int) string { return filepath.Join(dir, fmt.Sprintf("peer-%d", peer)) }
