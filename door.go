package vera

import (
	"context"
	"time"
)

// Hello is what a client said when it connected, checked and within Limits.
type Hello struct {
	Session   SessionID
	Offered   bool          // the cookie came from the client: an earlier life may exist
	Owner     string        // the client's IP address, through trusted proxies
	Grace     time.Duration // how long the session outlives a lost connection
	Heartbeat time.Duration
	Local     bool // watches stay on this peer and cost no log entry
	Quiet     bool // notify=false: this connection wants no notifications
}

// Ending says how a connection ended.
type Ending uint8

// The endings of a connection.
const (
	EndedClean    Ending = iota + 1 // the client closed on purpose: a Close frame with 1000 or without a code, before ours
	EndedLost                       // in any other way: 1001, reset, silence, misbehaviour
	EndedByServer                   // we sent it away with 1001 or 1013: it gets the failover grace
)

// Service is the peer as the sockets see it. The actors implement it. All
// methods may be called from any goroutine; those with a context may wait and
// return an *Error when they fail.
type Service interface {
	// Connect attaches a new connection to its session and returns when the
	// attachment is applied, so that the 101 may go out. The connection must
	// then be ended with exactly one Connection.Closed, also when the 101 could
	// not be sent.
	Connect(ctx context.Context, h Hello, s Socket) (Connection, error)

	// Get reads a list. It waits for r.MinIndex and, when r.Consistent, for the
	// leader's confirmation.
	Get(ctx context.Context, r Read) (Listing, error)

	// Follow begins to watch a list for one HTTP client: a long poll or a
	// stream of events. The caller must Close what it gets.
	Follow(ctx context.Context, r Read) (Follower, error)

	// Session says what the client that offers this id is and holds. A
	// session that does not live is answered as it would begin.
	Session(ctx context.Context, h Hello) (SessionInfo, error)

	// Status is what this peer knows of its cluster, without waiting.
	Status() Status
}

// Read says which list is wanted, and how.
type Read struct {
	Path       Path
	Limit      int    // the first n items; NoLimit for all
	Consistent bool   // linearizable
	MinIndex   uint64 // wait until this index is applied
	Since      uint64 // Follow: the reader knows the list as it was at this index; 0 = it knows nothing
}

// Follower tells one HTTP client of one list's changes.
type Follower interface {
	// Next waits for what is to be told next and returns one notification as
	// JSON, and the index it carries. What happens while nobody calls Next is
	// merged. The first one is a reset with the whole list, unless the list did
	// not change since Read.Since.
	Next(ctx context.Context) (notification []byte, index uint64, err error)
	// Close ends it. It may be called more than once.
	Close()
}

// Status is what a peer knows of its cluster.
type Status struct {
	Peer        string // this peer's name
	Leader      string // the leader's name, "" when none is known
	Applied     uint64 // index applied here
	Committed   uint64 // index known to be committed
	LastContact time.Duration
	Suspended   bool // out of touch with the majority: nothing can be committed or confirmed here
	Draining    bool
	Diverged    string // not empty: this peer applied another log than the peers it names, and may be the one that is wrong
}

// Socket is a connection's way out, implemented by ws. No method blocks; all
// may be called from any goroutine, also after the connection ended.
type Socket interface {
	// Wake says that Connection.Pull has something. Many wakes before a pull
	// count as one. The write may be tried at once on the caller's goroutine,
	// so the caller must hold nothing that Pull needs.
	Wake()
	// Resume says that Connection.Receive may be called again after it
	// returned false.
	Resume()
	// Close writes what Pull still has, then a Close frame, and ends the
	// connection, at the latest two seconds later.
	Close(code CloseCode, reason string)
}

// Connection is one client's connection as its socket sees it, implemented by
// an actor. No method blocks.
type Connection interface {
	// Receive takes one text message, checked to be UTF-8 and within
	// Limits.Message. The connection owns it from then on. False asks the
	// socket to read nothing more until Socket.Resume: the client is ahead of
	// its bounds, and TCP will tell it.
	Receive(message []byte) bool
	// Pull appends to batch the text messages to be written next, in order and
	// about max bytes at most (at least one message when there is any). None
	// appended: nothing to write now. One goroutine at a time calls it. The
	// messages are shared between connections and must not be changed.
	Pull(batch [][]byte, max int) [][]byte
	// Closed says that the socket is gone. It is called exactly once; after it
	// Receive and Pull are not called any more.
	Closed(how Ending)
}
