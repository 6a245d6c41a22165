// Package frame reads and writes WebSocket frames as RFC 6455 has them, in
// memory: it never blocks, never touches a socket and starts no goroutine.
//
// A Parser is fed with bytes as they come, in any portions, and says what they
// complete. A server's frames are appended to a buffer.
//
// Invariants:
//
//  1. What a Parser finds does not depend on how the bytes were portioned.
//  2. Limits are checked as soon as a header is known, before anything is
//     buffered: memory grows with the bytes that came, never with a length that
//     was only declared, and stays below twice the limit of a message.
//  3. Between two messages a Parser holds no buffer.
//  4. Text that leaves a Parser is UTF-8. Bytes that cannot become UTF-8 are
//     refused as they come, not at the end of the message.
//  5. After an error a Parser is of no more use: what follows on the wire has no
//     meaning.
package frame
