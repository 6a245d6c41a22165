// Package vera says the words of Vera, a coordination service whose protocol is the web.
//
// A path names a list. A client pushes JSON objects onto lists; each becomes an
// item that belongs to the client's session and disappears when the session
// ends. Other clients get a list or watch it. The oldest item of a list is its
// head; an election is nothing more than "the head leads". Raft orders
// everything: an item's version is the index of the push that created it.
//
// The package holds the nouns and contracts that every other room of Vera
// shares, and nothing else: codes, paths, limits, items, requests, answers,
// notifications, and the two doors between the sockets and the actors
// (Service, Connection and Socket).
//
// Invariants:
//
//  1. Nothing here starts a goroutine, reads a clock, logs, does I/O or keeps a
//     variable that changes, but for a pool of parsers that remember nothing.
//     Values are plain; functions are pure.
//  2. What a stranger sent is only ever turned into a Request or a Path by
//     ParseRequest, ParsePath and ParseURLPath. What they return is within
//     Limits, and what they refuse they refuse with an *Error that names the
//     field and the limit.
//  3. Data is kept as it was sent: compacted, but with numbers digit for digit
//     and names in their order.
//  4. An Item that was published is never written again, but for
//     Origin.Reason, which is written once, before the first list without the
//     item is published.
package vera
