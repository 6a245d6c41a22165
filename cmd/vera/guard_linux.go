package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// self is this program, also when its file was replaced or deleted meanwhile.
func self() (string, error) { return "/proc/self/exe", nil }

// rename has process lists show a name of ours, and not that of self.
func rename(name string) {
	_ = os.WriteFile("/proc/self/comm", []byte(name), 0) // without it, it works as well
}

// sinceBoot is a clock that all processes share, that nobody sets, and that
// goes on while the machine sleeps.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("CLOCK_BOOTTIME cannot be read: " + err.Error()) // there since Linux 2.6.39
	}
	return time.Duration(now.Nano())
}

// adopt makes this process the parent of whatever its descendants leave
// behind, so that descendants finds it.
func adopt() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// awaitEnd returns when a child has ended. It stays a zombie, so that its
// number, and that of its group, is nobody else's yet.
func awaitEnd(cmd *exec.Cmd) {
	for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// descendants returns the processes below one, zombies left out, and the
// zombies that are its own children.
func descendants(of int) (living, zombies []int) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, nil
	}
	type process struct {
		pid    int
		zombie bool
	}
	children := map[int][]process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + name.Name() + "/stat")
		if err != nil {
			continue // it has just ended
		}
		// "pid (name) state ppid …": a name may hold anything, so the last bracket counts.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			children[parent] = append(children[parent], process{pid, fields[0] == "Z" || fields[0] == "X"})
		}
	}
	for next := []int{of}; len(next) > 0; next = next[1:] {
		for _, child := range children[next[0]] {
			switch {
			case !child.zombie:
				living = append(living, child.pid)
				next = append(next, child.pid)
			case next[0] == of:
				zombies = append(zombies, child.pid)
			}
		}
	}
	return living, zombies
}
