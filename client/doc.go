// Package client speaks with a Vera peer from a Go program.
//
// Dial opens a connection. Its methods ask for things and wait for the answer;
// any number of goroutines may use one connection at the same time. A Watch is
// told of every change of one list, in order.
//
// What the server refuses is a *vera.Error. A connection that is over fails
// everything with a *Closed, which says how it ended. A handshake that was
// refused is a *Refused.
//
// Invariants:
//
//  1. One goroutine a connection, which reads. It never waits for a caller, so
//     pings are answered and answers arrive however slowly notifications are
//     taken.
//  2. Requests are written in the order of the calls that one goroutine makes.
//     The peer commits pushes, updates and removals of a connection in that
//     order.
//  3. Notifications of one list are given out in the order in which they came.
//     At most Options.Queue of them wait, and one more behind a reset; beyond
//     that the latest are merged, exactly as the server merges for a slow
//     reader. So what waits is bounded by the lists themselves.
//  4. A message of the server is never larger than Options.Message.
package client
