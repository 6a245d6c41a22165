// Package cluster runs clusters of the real binary for tests, and breaks them:
// kill -9, SIGSTOP, restarts, partitions, sick disks.
//
// Invariants: every process ends with its test, also when the test panics; a
// peer that wrote of a race, a panic or a fatal error fails its test; nothing
// waits without asking, or longer than its bound. With Options.Net each peer
// has a network namespace of its own on one bridge, and partitions are real
// ones: packets are dropped on the way in. That needs root and iproute2; where
// a machine lacks them the test is skipped and says so, and fails if CI is set.
package cluster
