package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"vera/client"
	"vera/examples/peer"
)

// grace is for how long a backend that was lost stays on the list.
const grace = time.Second

// backend is what a backend says of itself on the list.
type backend struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Weight int    `json:"weight,omitempty"` // its share of the requests; 0 is 1
}

// serve is a backend: on the list from when it can answer until just before it
// ends.
func serve(ctx context.Context, server, name string, weight int, command []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	address := listener.Addr().String()
	if len(command) == 0 {
		web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })}
		go func() { ended(web.Serve(listener)) }()
		defer web.Shutdown(context.WithoutCancel(ctx)) // answers what is under way
	} else {
		listener.Close() // the port is the command's now
		stop, err := begin(address, command, ended)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := listening(ctx, address); err != nil {
		return err
	}
	c, err := client.Connect(ctx, []string{server}, client.Options{Grace: grace})
	if err != nil {
		return err
	}
	defer c.Close() // first it goes from the list, then it ends
	for {
		item, _, err := c.Push(ctx, list, backend{name, "http://" + address, weight})
		if err != nil {
			return err
		}
		select {
		case <-item.Lost(): // away for longer than the grace
			log.Print("was off the list: ", item.Reason())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin runs a command that listens at an address. It tells of its end, and
// returns what ends it.
func begin(address string, command []string, ended context.CancelCauseFunc) (stop func(), err error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	run := exec.Command(command[0], command[1:]...)
	run.Env = append(os.Environ(), "PORT="+port)
	run.Stdout, run.Stderr = os.Stdout, os.Stderr
	run.SysProcAttr = peer.Dependent()
	if err := run.Start(); err != nil {
		return nil, err
	}
	over := make(chan struct{})
	go func() {
		_ = run.Wait() // how it ended is in its state
		ended(fmt.Errorf("%s: %v", command[0], run.ProcessState))
		close(over)
	}()
	return func() {
		_ = run.Process.Signal(os.Interrupt) // fails when it is over already
		select {
		case <-over:
		case <-time.After(goodbye):
			_ = run.Process.Kill()
			<-over
		}
	}, nil
}

// listening waits until somebody takes connections at an address.
func listening(ctx context.Context, address string) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
