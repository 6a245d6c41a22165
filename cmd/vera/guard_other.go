//go:build !linux

package main

import (
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// self is this program.
func self() (string, error) { return os.Executable() }

// rename does nothing: process lists show the file's name.
func rename(string) {}

// sinceBoot is a clock that all processes share and that nobody sets.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("CLOCK_MONOTONIC cannot be read: " + err.Error())
	}
	return time.Duration(now.Nano())
}

// adopt does nothing: only Linux has orphans handed to a grandparent.
func adopt() error { return nil }

// awaitEnd returns when a child has ended, and reaps it.
func awaitEnd(cmd *exec.Cmd) { _ = cmd.Wait() } // what it says is in the state

// descendants knows none: what leaves the command's process group is not found.
func descendants(int) (living, zombies []int) { return nil, nil }
