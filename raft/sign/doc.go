// Package sign has a peer sign what it asks of another, and has the other find
// out who asked: HTTP Message Signatures (RFC 9421) over a Content-Digest
// (RFC 9530), ed25519 only, in the one form that Vera writes.
//
// A Sender signs a request: its method, its target, every header field that it
// has (among them the digest of its body, the cluster and the receiver), when it
// was made, until when it holds, and a nonce. A Receiver says whose signature it
// is, or refuses; whether that peer may ask at all is the caller's business.
//
// Invariants:
//
//  1. There is one way to sign. Signature-Input, Signature and Content-Digest are
//     accepted only if they are, byte for byte, what a Sender writes: one label,
//     one algorithm, one order, one spelling of base64.
//  2. Nothing of an accepted request is unsigned: a header field that is not
//     covered, a trailer, a transfer coding or another version of HTTP is refused.
//  3. A request is accepted once. Its nonce is remembered, for its peer, until the
//     request can no longer be in time; where memory is short or a clock went
//     back, all requests that may be among the forgotten ones count as late.
//  4. A request is accepted by the receiver that it names, in the run of its
//     process that it names, and in its cluster, and nowhere else.
//  5. A wrong clock cuts nobody off: what is late is answered with a challenge, and
//     a request that carries it is in time whatever its clock says. A challenge is
//     good once, for one peer, for ten seconds.
//  6. Whatever strangers send, memory stays bounded: 32,768 nonces of at most 4,096
//     peers, twice (under 16 MiB). Challenges cost nothing until they are used. What
//     is forgotten for want of room costs its peer a challenge, not the request.
//  7. A nonce is spent only by a request that was well signed.
//
// A Sender holds no state and a Receiver has one lock, held for no longer than it
// takes to look a nonce up; all their methods may be called from any goroutine.
package sign
