// Package elections shows what an election promises, with real peers and real
// processes that lead, are stopped, and wake up too late.
//
// Invariants: every process ends with its test; nothing waits without asking,
// or longer than its bound.
package elections
