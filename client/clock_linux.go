package client

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed reads a clock that never goes back and counts the time that the
// machine slept: what a server counts while this one does not.
func elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("the kernel has no CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(t.Nano())
}
