//go:build !linux

package client

import "time"

// began is where elapsed counts from. It never changes.
var began = time.Now()

// elapsed reads a clock that never goes back.
func elapsed() time.Duration { return time.Since(began) }
