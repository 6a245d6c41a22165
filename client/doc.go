// Package client speaks with Vera from a Go program.
//
// Connect makes a Client: one session, over connections to a majority of the
// peers, that goes on wherever a peer lives. It holds items (Push gives a
// Handle), follows lists (Watch), reads them (Get) and leads (Elect).
//
// Dial makes one Connection to one peer, for who wants to see what happens to
// it. A Client is made of Connections.
//
// What the server refuses is a *vera.Error. A handshake that was refused is a
// *Refused. A Connection that is over fails everything with a *Closed, which
// says how it ended; a Client goes on at another peer, and fails with
// ErrSessionEnded what may have been done in a life of the session that is
// over, and with ErrClosed when its owner has closed it.
//
// Invariants of a Connection:
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
//
// Invariants of a Client:
//
//  1. One goroutine, the loop, owns all that is known. It waits for nobody:
//     what takes time (dialling, writing, closing) has goroutines of its own,
//     and comes back as a step of the loop. Nothing waits in front of the loop
//     but those who hand it a step.
//  2. Which connections should be there is decided by what is known at the
//     moment (roles.go), never by what happened before. What is new is ready
//     before what is old is given up.
//  3. A write goes over one connection at a time, and over another one only
//     when nothing is under way on the first or it is lost. What was under way
//     on a lost one is sent again, in its order, with its once key; what
//     depends on an etag, and is not a push, is not.
//  4. A link is used only after it was asked what the session is. When that
//     shows that the life of the session which this client knew is over, what
//     was held is lost, what may have been done in it fails, and neither is
//     done again.
//  5. Of one list there is one watch, however many take from it. What is kept
//     is the list as it is and, for each taker, the list as it was told last;
//     so what waits for a slow taker is one state.
//  6. An Election leads only before the end of what a ping has promised that was
//     sent after its item was there; the promise counts from the sending, by
//     a clock that counts sleep. The clock is asked at each question.
package client
