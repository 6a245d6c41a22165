package link

import "time"

// MaxBody is how many bytes the body of a call or of its answer has at most.
const MaxBody = 16 << 20

const (
	maxHead  = 16 << 10 // bytes of a request's or an answer's head
	maxName  = 64       // bytes of a call's name or a stream's kind
	maxTold  = 1 << 10  // bytes of an error that is told to the other side
	maxReads = 16       // large bodies that are read at a time; others wait

	smallBody = 64 << 10 // bytes: a larger body is a large one
	piece     = 64 << 10 // bytes of a body that must come within limits.piece

	maxWires     = 1000 // connections that came in
	maxStrangers = 100  // among them, of those that proved nothing yet
	maxLines     = 16   // connections out to one peer, without streams
	maxPools     = 256  // peers for which idle connections are kept

	minSecret = 16 // bytes

	silence = 20 * time.Second // of the other side's TCP, until it is gone
)

// limits are the times; tests shorten them.
type limits struct {
	head     time.Duration // for the TLS handshake, and for a request's head
	stranger time.Duration // for a connection to prove who it is
	piece    time.Duration // for each 64 KiB of a body
	body     time.Duration // for all of it
	write    time.Duration // for an answer to be taken
	dial     time.Duration // for connecting and the TLS handshake
	keep     time.Duration // for an idle connection to be used again; it is kept four times as long by who was called
}

func usual() limits {
	return limits{
		head:     5 * time.Second,
		stranger: 10 * time.Second,
		piece:    5 * time.Second,
		body:     60 * time.Second,
		write:    30 * time.Second,
		dial:     5 * time.Second,
		keep:     30 * time.Second,
	}
}
