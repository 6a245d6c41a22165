// Package state decides what Vera's state is after each entry of the log, and
// only it.
//
// Machine.Apply takes an entry and returns what came of it. It is a pure
// function of the entries before: no clock, no randomness, no map's order in
// what it tells, no goroutine, no log line. Deadlines belong to whoever leads
// and arrive as commands.
package state
