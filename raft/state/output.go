package state

import (
	"time"

	"vera"
)

// Output is what one entry did. It and what it points to are never written
// again.
type Output struct {
	Index uint64
	Hash  uint64 // the rolling hash after the entry: equal on all peers at equal indexes

	Peer        PeerID // of the batch
	Incarnation uint64
	First       uint64

	Replies  []Reply         // one a command, in their order
	Changes  []Change        // at most one a path; when there are several, in the order of their paths
	Sessions []SessionChange // in the order in which it happened

	// Skipped says that the batch was a duplicate, a gap or of an incarnation
	// that is over: nothing was applied, there are no replies.
	Skipped bool
}

// Reply is the answer to one command.
type Reply struct {
	Code    vera.Code
	Message string // for people; names the field and the limit; only when Code is not OK
	Index   uint64 // of the entry
	Version uint64 // Push: the item's; of a repeated one the first's
	Life    uint64 // Open, Attach: of the session
	Resumed bool   // Open, Attach: it lived before
	List    *List  // Push, Update, Remove: the list right after the command; nil when the session is over
}

// Change is what an entry did to one list.
type Change struct {
	Path          vera.Path
	Before, After *List // never nil
}

// Event is what happened to a session.
type Event uint8

// The events.
const (
	Opened    Event = iota + 1 // a new life began, attached
	Attached                   // a peer attached, perhaps again
	Detached                   // a doubt opened: a client was lost. Others may still be attached
	Over                       // it ended, its items with it
	Rewatched                  // one of its peers changed its watches, and another one has a client; or a change came too late
)

// SessionChange tells of a session. For Detached, the clock of whoever leads
// starts: Grace after this entry it proposes Expire with Session, Life and
// Since. It does so too when the session attached again meanwhile: only then
// the doubt closes. A later Detached of the same life makes the earlier void.
type SessionChange struct {
	Session vera.SessionID
	Life    uint64
	What    Event
	Since   uint64        // Detached: index of the doubt
	Grace   time.Duration // Detached: how long the doubt is held; Opened, Attached: the attachment's
	Reason  vera.Reason   // Over
}

// Counts is how much a machine holds.
type Counts struct {
	Sessions, Items, Watches int
	Lists                    int // those that are not empty
}
