package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	startMost = 30 * time.Second // until a peer that was started serves
	stopMost  = 10 * time.Second // until one that was told to end is killed
)

// Peer is a peer of Vera. Who got it from Use ends it with Stop.
type Peer struct {
	URL string // where clients reach it

	process *exec.Cmd     // nil: somebody else's
	exited  chan struct{} // closed when the process is over
	dir     string        // its own folder, which ends with it
}

// Use returns the peer at a URL; without one it builds Vera and starts a peer
// on free ports, with its data in a temporary folder. It returns when the peer
// serves. The context bounds only that.
func Use(ctx context.Context, url string) (p *Peer, err error) {
	if url != "" {
		return &Peer{URL: url}, nil
	}
	dir, err := os.MkdirTemp("", "vera-example-")
	if err != nil {
		return nil, err
	}
	p = &Peer{dir: dir, exited: make(chan struct{})}
	if err = p.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("a peer of Vera: %w", err), p.Stop())
	}
	return p, nil
}

func (p *Peer) start(ctx context.Context) error {
	// Whichever folder this is called in, its module knows where Vera's source is.
	source, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "vera").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	binary, data := filepath.Join(p.dir, "vera"), filepath.Join(p.dir, "data")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/vera")
	build.Dir = strings.TrimSpace(string(source))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	p.process = exec.Command(binary, "serve", "--data-dir", data, "--drain", "0s", "--log-level", "warn",
		"--client-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	p.process.Stderr = os.Stderr
	p.process.SysProcAttr = Dependent() // Ctrl-C is for the example, which then stops its peer last
	if err := p.process.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.process.Wait() // Stop, or whoever can't reach it, notices
		close(p.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, startMost)
	defer cancel()
	return p.await(ctx, filepath.Join(data, "addresses.json"))
}

// await reads where the peer listens, as soon as it has written that down.
func (p *Peer) await(ctx context.Context, file string) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		var addresses struct{ Client string }
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &addresses) == nil && addresses.Client != "" {
			p.URL = "http://" + addresses.Client
			return nil
		}
		select {
		case <-look.C:
		case <-p.exited:
			return errors.New("it ended as soon as it was started")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stop ends the peer, if it is of Use's own making, and deletes its data.
func (p *Peer) Stop() error {
	if p.process != nil && p.process.Process != nil {
		_ = p.process.Process.Signal(os.Interrupt) // fails when it is over already
		select {
		case <-p.exited:
		case <-time.After(stopMost):
			p.Kill()
		}
	}
	return os.RemoveAll(p.dir) // "" is nothing
}

// Kill ends the peer as kill -9 does.
func (p *Peer) Kill() {
	_ = p.process.Process.Kill() // fails when it is over already
	<-p.exited
}
