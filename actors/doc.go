// Package actors waits, watches and tells: it is the peer between its sockets
// and its log. It decides nothing; what is so is what the state machine says.
//
//	guardian
//	 ├ session-manager     reads what the log changed, and passes it on
//	 │   ├ shard           sessions by id; supervises   ◂ session     one a client
//	 │   │                                              ◂ connection  one a WebSocket
//	 │   └ watch           paths by hash; supervises    ◂ watch-path  one a list that is watched here
//	 ├ raft                hands commands to the log in batches, and their outcomes back
//	 └ introspection       remembers what failed
//
// Three ways lead through the house.
//
// A push: socket → connection (reads and admits it) → session (whose it is) →
// raft → the log → raft → connection, whose outbox has the answer → socket.
//
// A notification: the log → session-manager → watch shard → watch path, which
// marks whoever is concerned → connection → socket, which pulls what became of
// the list.
//
// An ending: socket → connection → shard → session, which has this peer
// detached when nobody is left → the log, which ends the session now or when
// its grace is over → the second way.
//
// The actors run on protoactor-go, for supervision and lifecycle. Their
// mailboxes are our own, and so are the goroutines that empty them (runners);
// a message is sent to a mailbox, not to a PID. What fails goes to supervise.go:
// a connection is stopped, a session restarted and in the end ended, a watched
// path restarted, and anything else ends the process, whose state is on disk.
//
// Invariants:
//
//  1. No handler waits: not for a lock that is held while anything is encoded
//     for somebody else but the texts that one list's watchers share, not for
//     a socket, not for the log. What takes time comes back as a message.
//  2. A message is in one mailbox at a time and belongs to whoever received it
//     last. What is in a mailbox is bounded by what connections may have under
//     way (valve), by watches (one mark each), and by sessions (one step each).
//  3. The commands of one connection reach the log in the order in which they
//     came: connection, session and raft each keep it.
//  4. A call is answered once. What its connection says of it when it is given
//     up is true: abandoned before it was proposed, it never will be.
//  5. On one connection nothing that is told is older than what was told
//     before. The outbox encodes when the socket takes, under its lock.
//  6. A lookout is in place before the list is looked at for the first
//     time. Each notification is the difference between two states of the list,
//     the first of which is the one told last; the last one told is the list
//     as it is.
//  7. A slow reader holds one state of each list that it watches, and its
//     requests; nothing else grows with what it does not read.
//  8. A session's actor lives while a connection of it is here or the log
//     counts this peer among its own; then it is gone. One thing is done about
//     its standing in the log at a time.
//  9. A grace that a ping relied on is in the log before, and the session is
//     never told lost with a shorter one while it has a connection here.
package actors
