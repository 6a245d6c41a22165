// Package test drives the real binary and shows, promise by promise, what
// docs/PROTOCOL.md says. It holds tests only.
//
// The binary is built once, with the race detector, and each peer is a process
// of its own with a data directory of its own. What it writes to stderr is
// kept, shown when a test fails, and searched for races and panics.
//
// Invariants:
//
//  1. Nothing here imports a server room: what is tested is what a stranger sees.
//  2. A test waits by asking, or for what a peer tells, never by sleeping. Where
//     time itself must pass, a comment says why.
//  3. A bound on lateness is the protocol's own plus slack, one constant, plus
//     what the machine itself lost meanwhile. Nothing has slack for being early.
package test
