// Package head vets what a stranger sends before net/http sees a byte of it: the
// head of a request and, from trusted networks, a PROXY protocol header. All of
// it works in memory.
//
// Invariants:
//
//  1. A head that Check accepts means one thing only, to every HTTP parser: one
//     request line, one Host, no folded line, no control character, no body that
//     could be taken for the next request.
//  2. net/http accepts every head that Check accepts.
//  3. A refusal names what is wrong and the limit that it broke.
package head
