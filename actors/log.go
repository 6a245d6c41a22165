package actors

import (
	"time"

	"vera"
	"vera/raft/state"
)

// Log is the replicated log as the actors use it; *raft.Raft is one. No method
// waits. Functions that are handed over are called on the log's goroutines, or
// before the method returns; they neither wait nor call the log.
type Log[F Feed] interface {
	journal
	// Feed returns the changes that this peer applied.
	Feed() F
}

// journal is a Log without its feed.
type journal interface {
	// Machine is the state that this peer has applied, to be read.
	Machine() *state.Machine
	// Peer names this peer's attachments. They are of its present incarnation:
	// when the log declares that one gone, they are taken away, and what is
	// proposed after that is of the next.
	Peer() state.PeerID
	// Propose puts commands into the log, in order and behind those of earlier
	// calls. done is called once, after this peer has applied all of them, with
	// one reply each; or with an error, and then a reply without a code is of a
	// command whose outcome is not known, or surely none when the error is a
	// *vera.Error that says so.
	Propose(commands []state.Command, done func(replies []state.Reply, err error))
	// Barrier calls done when this peer has applied everything that was
	// committed anywhere before the call.
	Barrier(done func(index uint64, err error))
	// WhenApplied calls done once this peer has applied an index.
	WhenApplied(index uint64, done func()) (cancel func())
	// LeaderContact is when this peer was last in touch with a leader that has
	// the majority. It is never later than the truth.
	LeaderContact() time.Time
	// Status is what this peer knows of its cluster.
	Status() vera.Status
	// Peers is the cluster as a list. The same list is the same pointer or has
	// the same etag.
	Peers() *state.List
}

// Feed is what entries of the log changed, for readers that keep their own
// position.
type Feed interface {
	// Read copies the oldest outputs above an index. missed says that some are
	// gone: then nothing is copied.
	Read(after uint64, dst []state.Output) (n int, missed bool)
	// Index is up to where the feed is complete.
	Index() uint64
	// Poke has a function called after outputs were added or lost.
	Poke(func())
}
