package client

import (
	"math/rand/v2"
	"time"
)

const (
	backoffStep = 100 * time.Millisecond // the longest wait after the first failure is twice this
	backoffMost = 10 * time.Second       // no wait is longer
	awayMost    = 250 * time.Millisecond // the longest wait after a server sent its clients away
)

// backoffBound returns how long is waited at most after so many failures in a
// row.
func backoffBound(failures int) time.Duration {
	if failures >= 7 { // 100 ms × 2^7 is more than the most
		return backoffMost
	}
	return min(backoffMost, backoffStep<<max(failures, 0))
}

// jitter returns a time in [0, bound), each as likely as any other, so that
// clients that lost the same server do not come back together. The rule is
// the "full jitter" of Brooker, "Exponential Backoff and Jitter", 2015.
func jitter(bound time.Duration) time.Duration { return rand.N(bound) }
