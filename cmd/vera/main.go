package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// streams are where a command reads and prints.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exitError ends the process with a status of its own; its text was told already.
type exitError int

// Error says which status.
func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run is the whole program: it returns the exit status, 0 when all went well,
// 1 when it did not, 2 when it was asked for something wrong; that of a command
// that it ran for somebody.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := rootCommand(streams{in, out, errOut})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var status exitError
	var usage usageError
	var coded statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "vera: %v\nTry: vera --help\n", err)
		return 2
	case errors.As(err, &coded):
		fmt.Fprintf(errOut, "vera: %v\n", err)
		return coded.status
	default:
		fmt.Fprintf(errOut, "vera: %v\n", err)
		return 1
	}
}

// statusError ends the process with a status of its own, and is told.
type statusError struct {
	status int
	error
}

// Unwrap returns what happened.
func (e statusError) Unwrap() error { return e.error }

// usageError is a command line that makes no sense.
type usageError struct{ error }

// Unwrap returns what was wrong.
func (e usageError) Unwrap() error { return e.error }
