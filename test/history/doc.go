// Package history records what clients did and were told, and judges a whole
// run by it.
//
// A Recorder takes operations with the moments of their call and return, what
// watchers were told, the lives of sessions, and in the end what each peer
// holds. History.Check looks for every way in which that cannot be true:
//
//   - order.go: what returned before another operation was called has the lower
//     index, on one connection no index falls, and what was asked for is reached;
//   - states.go: whoever tells of a list at one index tells the same, versions
//     are given out once, and a list's head never falls;
//   - linear.go: per list, what was acknowledged can be put in an order that
//     real time allows (porcupine), with sessions' ends among the operations;
//   - items.go: each acknowledged push is on its list, once, as long as its
//     session lives and does not remove it, and nothing else is there;
//   - held.go: what a session was told that it held at an index, it did;
//   - connected.go: no life ended while a connection of it was there, on a peer
//     that nothing was wrong with;
//   - endings.go: in the end items and live sessions are the same on each peer,
//     and no item left before the time for which a ping promised it to stay, on
//     whichever connection;
//   - watched.go: what a watcher was told are states of the list, in order, with
//     exact differences, and at last the final one.
//
// Each violation has a name and a sentence with the operations concerned.
//
// Invariants:
//
//  1. What is called a violation is one, whatever was not recorded: an outcome
//     that nobody knows may have been either, a session without a client may
//     have ended.
//  2. Two pushes have the same session and data only when one repeats the other
//     with the same once key; so too for updates. The items of a list are told
//     apart by that.
//  3. Moments are in the order of their Seq: a call is recorded before its request
//     leaves, a return after its answer came.
package history
