// Package link is how peers speak: the peer listener, and the way out to those
// of others. It knows nothing of what is said.
//
// All of it is HTTP/1.1 over TLS 1.3, where both sides show a certificate that
// they made of their own key (ed25519; the KeyID names it). A call is a signed
// POST to /vera/call/NAME; a stream is opened by a signed GET of
// /vera/stream/KIND that upgrades to "vera-stream". Package sign signs and
// verifies; beside what it covers, every request covers the exporter value of
// its TLS connection (RFC 9266), so it is good on that connection only.
//
// Who is no member can prove that it knows the cluster's secret: an HMAC over
// role, exporter value and own KeyID, in a covered header. The answer holds the
// same proof of the other side. A request that names no cluster, as one who is
// still to learn it sends it, is good with that proof only.
//
// The way of a request: door counts the connection; net/http makes the TLS
// connection of it and reads the head; visit asks, in this order, for a
// certificate, a signature, a member's key or the proof; only then is a body
// read, the signature verified, and membership asked again. Then Options.Call or
// Options.Stream has it.
//
// Invariants:
//
//  1. What is not signed is answered 401 and nothing else, whatever its path, but
//     for the paths of clients (404) and heads that are no HTTP or too long (400,
//     431). Its body is not read, and a stranger's connection is closed.
//  2. A request is its certificate's key's: a signature by another one, even a
//     member's, is refused. So is one made for another connection, another peer,
//     another start of it, or another cluster.
//  3. A handler runs for members and, calls only, for those who proved the secret.
//     A member that is none any more loses its connections, streams and calls
//     when Cut is called; no request of it is handled that came after.
//  4. Nothing of an answer is used before it is known whose it is: by the key that
//     was asked for and, if that is no member's or any would do, by the proof of the
//     secret. (Of a 401 the challenge is used to ask again, and the reason is told to
//     people, no more.)
//  5. A call that was refused with 401 was not handled, so it is signed anew and
//     sent again; nothing else is ever sent twice.
//  6. Everything is bounded: see the limits in limits.go. Strangers have a small
//     share of the connections, for a few seconds; the oldest makes room.
//  7. Close leaves no connection and no goroutine, and waits for the handlers. If
//     somebody was refused just before, it takes half a second: so long net/http
//     gives a stranger to hear it.
//
// Lock: Link.mu guards which connections there are and whose; nothing is called
// while it is held. Each pool has its own, taken before Link.mu or without it.
package link
