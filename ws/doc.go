// Package ws speaks with the outside: WebSockets and HTTP on the client listener,
// and what an operator looks at on the admin listener. It knows the peer only as
// a vera.Service.
//
// A connection comes in through a guard, which vets each request head before
// net/http sees it (ws/head). A site, one a listener, turns each request into a
// visit, which is routed by its escaped path, as it was sent. A visit to /connect
// leaves net/http behind: its connection goes to a socket (ws/socket, which reads
// frames with ws/frame and keeps time with ws/wheel).
//
// Invariants:
//
//  1. Nothing of a stranger reaches the Service unchecked: origin, host, version,
//     parameters and limits come first, and each refusal is JSON that names the
//     field and the limit.
//  2. A secret that this cluster did not make is never adopted, and no secret is
//     logged.
//  3. Every Connection that Service.Connect returned is told Closed once.
//  4. After the upgrade nothing of net/http is referenced any more.
//  5. No request has a body, none is redirected, no path is cleaned up.
//  6. Every connection is counted from its acceptance to the release of its
//     descriptor.
package ws
