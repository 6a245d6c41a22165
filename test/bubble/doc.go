// Package bubble runs tests in fake time. It is testing/synctest, but for one
// thing: under the race detector the process has one processor while a bubble
// runs.
//
// A timer that nobody waits on is run by whoever looks at its channel next, on
// the processor it is on. In a bubble all of them, and the bubble's own clock,
// speak to the race detector as one thread (runtime/time.go, unlockAndRun, in
// go1.26.8), so that two at once spoil what it knows of that thread and the
// process dies of a segmentation violation; TestTimersThatNobodyWaitsOn does so
// within a second. With one processor there are no two at once. What the
// detector finds is the same: it looks for what is not ordered, not for what
// meets.
//
// Invariants:
//
//   - Nothing but this package starts a bubble; test/house_test.go sees to it.
//   - Without the race detector it changes nothing.
//   - When no bubble runs, the process has all its processors.
package bubble
