package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"vera"
	"vera/client"
)

const (
	connectFor = 5 * time.Second  // until a peer lets a client in
	pushFor    = 15 * time.Second // until a leader took a push
)

// connect makes a client of the cluster that the servers belong to: one URL or
// several, with commas between them. It tries for a while, but not where
// nobody listens.
func connect(ctx context.Context, servers string, o client.Options) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectFor)
	defer cancel()
	ctx, nobody := context.WithCancelCause(ctx)
	defer nobody(nil)
	given := strings.Split(servers, ",")
	o.HTTP = knocking(len(given), nobody)
	c, err := client.Connect(ctx, given, o)
	if err != nil {
		return nil, advised(servers, errors.Join(err, context.Cause(ctx)))
	}
	return c, nil
}

// knocking makes connections, and calls nobody, with the last refusal, when so
// many addresses have refused theirs.
func knocking(most int, nobody func(error)) *http.Client {
	var mu sync.Mutex
	refused := map[string]bool{}
	dial := (&net.Dialer{}).DialContext
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			connection, err := dial(ctx, network, address)
			if errors.Is(err, syscall.ECONNREFUSED) {
				mu.Lock()
				defer mu.Unlock()
				if refused[address] = true; len(refused) == most {
					nobody(err)
				}
			}
			return connection, err
		},
	}}
}

// push pushes an item, and says what to do when nobody took it.
func push(ctx context.Context, c *client.Client, path string, data any, options ...client.Option) (*client.Handle, error) {
	ctx, cancel := context.WithTimeout(ctx, pushFor)
	defer cancel()
	h, _, err := c.Push(ctx, path, data, options...)
	return h, unled(err)
}

// unled says what it means when nobody took a push.
func unled(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no leader took it in %v. Does a majority of the peers run? vera peers says so", pushFor)
	}
	return err
}

// advised says what to do about an error of reaching the server.
func advised(server string, err error) error {
	refusal, refused := errors.AsType[*client.Refused](err)
	_, answered := errors.AsType[*vera.Error](err)
	network, is := errors.AsType[*net.OpError](err)
	switch {
	case refused:
		return refusal
	case answered:
		return err
	case is:
		err = network
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("no answer in time")
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%s: %w. Is a peer running there? Start one with: vera; or name another with --server", server, err)
}

// interrupts tells which signal ended a command's context.
type interrupts chan os.Signal

func catch() interrupts {
	i := make(interrupts, 1)
	signal.Notify(i, syscall.SIGINT, syscall.SIGTERM)
	return i
}

// status is 128+n for the signal n that came.
func (i interrupts) status() exitError {
	select {
	case s := <-i:
		if number, ok := s.(syscall.Signal); ok {
			return exitError(128 + int(number))
		}
	default:
	}
	return exitError(128 + int(syscall.SIGINT))
}

// nothing is for the shell: there is no file to complete here.
func nothing(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
