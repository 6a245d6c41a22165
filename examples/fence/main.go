package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"vera/examples/peer"
)

// freezes is how often a worker is frozen in the middle of a step.
const freezes = 3

// most is how long anything that must happen may take.
const most = 30 * time.Second

func main() {
	server := flag.String("server", "", "`URL` of a peer of Vera; without it one is started")
	store := flag.String("store", "", "work for the store at this `URL`; for processes that this program starts")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *store != "" {
		err = work(ctx, *server, *store, os.Stdout)
	} else {
		err = show(ctx, *server)
	}
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// show plays it with a store that looks at the fence and with one that does not.
func show(ctx context.Context, server string) (err error) {
	p, err := peer.Use(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	for _, fenced := range []bool{false, true} {
		s := &store{fenced: fenced}
		if err := play(ctx, p.URL, s); err != nil {
			return err
		}
		written, lost, refused := s.result()
		fmt.Printf("%-13s %d counts acknowledged, %d of them lost; %d requests refused\n",
			map[bool]string{false: "no fence:", true: "with a fence:"}[fenced], written, lost, refused)
	}
	return nil
}

// worker is a process that works.
type worker struct {
	process *exec.Cmd
	says    chan string
}

// play has two workers count, and freezes the one that leads in the middle of
// a step, until the other has counted on for a while.
func play(ctx context.Context, vera string, s *store) (err error) {
	ctx, cancel := context.WithTimeout(ctx, freezes*most)
	defer cancel()
	server := httptest.NewServer(s)
	defer server.Close()
	var workers [2]*worker
	for i := range workers {
		if workers[i], err = start(vera, server.URL); err != nil {
			return err
		}
		defer workers[i].end()
	}
	for range freezes {
		late, err := inTheMiddle(ctx, workers[0], workers[1])
		if err != nil {
			return err
		}
		other := workers[0]
		if late == other {
			other = workers[1]
		}
		if err := late.process.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		for range 10 { // steps of the other
			if err := other.reads(ctx); err != nil {
				return cmp.Or(late.process.Process.Signal(syscall.SIGCONT), err)
			}
		}
		if err := late.process.Process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		if err := other.reads(ctx); err != nil { // by now the late one has written, or was refused
			return err
		}
	}
	return nil
}

// start starts a process of this same program.
func start(vera, store string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{process: exec.Command(self, "-server", vera, "-store", store), says: make(chan string)}
	w.process.Stderr = os.Stderr
	w.process.SysProcAttr = peer.Dependent()
	out, err := w.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.process.Start(); err != nil {
		return nil, err
	}
	go w.listen(out)
	return w, nil
}

// listen passes on what the worker says, as long as somebody wants to hear it.
func (w *worker) listen(out io.Reader) {
	defer close(w.says)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		select {
		case w.says <- lines.Text():
		default: // nobody waits for it
		}
	}
}

// reads waits until the worker is in the middle of a step.
func (w *worker) reads(ctx context.Context) error {
	for {
		select {
		case line, on := <-w.says:
			if !on {
				return errors.New("a worker is gone")
			}
			if strings.HasPrefix(line, "read ") {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// inTheMiddle waits until one of two workers is in the middle of a step.
func inTheMiddle(ctx context.Context, a, b *worker) (*worker, error) {
	for {
		var line string
		who := a
		select {
		case line = <-a.says:
		case line = <-b.says:
			who = b
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if line == "" {
			return nil, errors.New("a worker is gone")
		}
		if strings.HasPrefix(line, "read ") {
			return who, nil
		}
	}
}

// end ends the process, frozen or not.
func (w *worker) end() {
	_ = w.process.Process.Kill() // it may be over already
	_ = w.process.Wait()
}
