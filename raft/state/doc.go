// Package state decides what Vera's state is after each entry of the log, and
// only it.
//
// Machine.Apply takes an entry and returns what came of it. It is a pure
// function of the entries before: no clock, no randomness, no map's order in
// what it tells, no goroutine, no log line. Deadlines belong to whoever leads
// and arrive as commands. One goroutine writes a machine, any number read it
// without locks.
//
// A session is one life of its id, named by the index of its opening. It is
// attached to each peer where it has a client. When a client is lost, not when
// it leaves on purpose, a doubt opens: the session is missed since that index,
// for a grace. The session ends when its last attachment goes and there is no
// doubt, or when the doubt runs out and nobody is attached. A doubt that is
// open stays open when a client comes, since that may be another one.
//
// A watch, or its end, that was asked for on another peer before the connection
// arrived on which the path's watch was changed already comes too late: it
// changes nothing.
//
// Invariants, true between two entries. Machine.Check verifies each:
//
//  1. Versions rise strictly along a list; an item's update is above its
//     version; a list's change is not below either, nor above the index
//     applied. What is on a list has no reason to have left.
//  2. Only a list that the last entry changed may be empty or keep the state
//     before.
//  3. A sequence's chunks hold 1 to 256 elements, two neighbours of its spine
//     more than 128 together, and it knows how many it has in all.
//  4. Every item's session lives, in the life that the item names, and the
//     item is younger than that life.
//  5. A session's items, walked from the session or from the lists, are the
//     same set.
//  6. Every session is attached or missed.
//  7. A session that is missed is so since an index of its life, for a time
//     above 0; one that is not has neither.
//  8. A session has at most one attachment to a peer, in the order of the
//     peers, and only to an incarnation that the peer has now and that is not
//     gone: nothing refers to a peer that was removed.
//  9. A session has at most one watch of a path, in the order of the paths; it
//     knows the order of each path's changes at most once, likewise, and of no
//     more than 64 paths that it does not watch.
//  10. A session remembers its last vera.OnceKeys keys and no others, each
//     with a push of this life, and finds each by its name.
//  11. Peers are known once, in the order of their ids, by an incarnation and
//     the number of a command.
//  12. What Counts says is what a walk counts.
//  13. Nothing is left of an entry that was applied: no draft, no departure;
//     and everything is found under its own name.
//
// What no single look can verify has tests: the same entries give the same
// outputs, hashes and snapshots on every machine; a snapshot restored gives the
// same snapshot, byte for byte; a reader's list and index belong together; what
// a reader holds never changes.
package state
