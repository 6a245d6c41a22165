// Package clients holds what every client of Vera must show against a cluster
// that is broken on purpose: one list of scenarios, for Go, Node 20 and the
// newest Node.
//
// A client under test is a process of its own, an actor: it does what JSON
// lines on its standard input say and tells by JSON lines on its standard output
// what happened, the same in every language (Command, Line). So a scenario is
// written once, and an actor can be killed, frozen and cut off.
//
// Invariants: what an actor was told of a list must fold, difference by
// difference, to the list; a push that was acknowledged is on the list once, or
// its actor was told that it is lost; each scenario has lists of its own and
// leaves no connection behind, since it finds the clients' connections by
// counting. Whatever is missing to run an actor is told, and fails in CI.
package clients
