package state

import (
	"math"
	"time"

	"vera"
)

// Kind says what a command does. Its numbers are in the log: they are never
// given a second meaning.
type Kind uint8

// The kinds. Push, Update and Remove travel alone in their entry, since a
// version is the index of an entry; the others may share one.
const (
	Push     Kind = iota + 1 // puts an item at a list's end
	Update                   // replaces an item's data in its place
	Remove                   // takes an item off its list
	Open                     // begins a session, or attaches to the one that lives
	Attach                   // attaches a peer to the life that the command names
	Detach                   // takes the peer's attachment away
	Watch                    // registers a watch, or replaces its options
	Unwatch                  // takes a watch away
	End                      // ends a session at once
	Expire                   // closes a doubt: ends the session when nobody is attached
	PeerUp                   // opens a new incarnation of the batch's peer
	PeerGone                 // takes every attachment of a peer away and refuses its incarnation
)

// KnowsAll is the Command.Known of a change that is never too late.
const KnowsAll uint64 = math.MaxUint64

// Skippable is set in a kind that a machine which does not know it may skip: it
// lets a newer peer write to the log of older ones. Such a command carries its
// length; its fields are kept in Command.Data. An unknown kind without it is
// refused.
const Skippable Kind = 0x80

// PeerID names a data directory: it is random and made with it.
type PeerID uint64

// Command is one wish. Of the fields, only those that its kind's comment names
// travel with it.
type Command struct {
	Kind    Kind
	Session vera.SessionID // all but PeerUp and PeerGone: whose wish it is
	Life    uint64         // the same but Open: the index of that session's opening
	Path    vera.Path      // Push Update Remove Watch Unwatch; canonical
	Data    []byte         // Push Update: what the item says; a skippable kind: its fields
	Owner   string         // Push: the client's IP address
	Version uint64         // Update Remove: which item

	IfMatch     uint64 // Push Update Remove, when Conditional: the list's etag that is asked for
	Conditional bool   // Push Update Remove
	Once        string // Push: the key of a push that must not happen twice; "": none

	// Limits of the peer that hands the command over. They travel with it so
	// that every peer decides alike. At least 0.
	SessionItems   int // Push: items of one session
	ListItems      int // Push: items of one list
	SessionWatches int // Watch: watches of one session

	Limit int  // Watch: the first n items, or vera.NoLimit
	Items bool // Watch: tell all items

	// Indexes that the peer had applied: when the client asked, and, at most
	// that, when it let in the connection that asked. Watch, Unwatch. An entry
	// of a peer too old to say has KnowsAll and 0.
	Known, Arrival uint64

	// Grace travels in whole milliseconds, rounded up. Open, Attach: how long
	// the session outlives this attachment's loss. Detach: the least that it
	// outlives it now. PeerUp, PeerGone: the least for those whose peer was lost.
	Grace time.Duration

	Clean  bool        // Detach: the last client there closed on purpose
	Since  uint64      // Expire: the doubt that ran out
	Reason vera.Reason // End: vera.Closed or vera.Ended

	Peer        PeerID // PeerGone: who is gone
	Incarnation uint64 // PeerGone: and which of its incarnations
}

// Batch is what one entry of the log holds: commands of one peer, numbered
// without gaps from 1 on within an incarnation.
//
// The command numbered 1 is PeerUp, and PeerUp has no other number. A batch
// with First 0 is not numbered: it holds the leader's own Expire and PeerGone,
// which do no harm when they come twice. PeerGone is never numbered.
type Batch struct {
	Peer        PeerID
	Incarnation uint64 // at least 1 when numbered
	First       uint64 // number of Commands[0]; 0: not numbered
	Commands    []Command
}

// Alone says that the kind makes or changes an item, so that no other command
// may have the same index.
func (k Kind) Alone() bool { return k == Push || k == Update || k == Remove }

// String returns the kind's name, in lower case.
func (k Kind) String() string {
	names := [...]string{"", "push", "update", "remove", "open", "attach", "detach", "watch", "unwatch", "end", "expire", "peer-up", "peer-gone"}
	switch {
	case k&Skippable != 0:
		return "skippable"
	case k == 0 || int(k) >= len(names):
		return "unknown"
	}
	return names[k]
}
