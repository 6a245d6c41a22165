package vera

import "time"

// Limits holds every bound of a peer. The zero value is of no use: start from
// DefaultLimits. Each field is a flag, --max-… unless its comment says
// otherwise, and an error that names it.
type Limits struct {
	Message  int // bytes of a WebSocket message
	Data     int // bytes of an item's data, compacted
	Path     int // bytes of a path, percent-decoded
	Segments int // segments of a path behind /data
	Depth    int // nesting of a JSON message
	RID      int // bytes of a string rid
	Once     int // bytes of a once key

	SessionItems       int // items that one session holds
	ListItems          int // items on one list
	SessionWatches     int // watches of one session
	SessionConnections int // connections of one session on this peer
	Connections        int // connections in all; nine tenths of the descriptors
	AddressConnections int // connections from one address; 0 = any number

	Rate     int // requests a second on one connection
	InFlight int // requests under way on one connection
	Outbox   int // bytes queued to one connection

	Head    int           // bytes of a request head
	Lines   int           // header lines of a request head
	HeadFor time.Duration // for a whole request head
	RestFor time.Duration // for the rest of a frame whose first byte came
	Leader  time.Duration // for a request without a leader
	Wait    time.Duration // for a long poll
	Stuck   time.Duration // without progress on a socket that has something to be written

	Grace         time.Duration // --max-grace: the longest that a client may choose
	DefaultGrace  time.Duration // --grace
	FailoverGrace time.Duration // --failover-grace: for sessions whose peer died or sent them away
	Heartbeat     time.Duration // --heartbeat
	MinHeartbeat  time.Duration // --min-heartbeat
	MaxHeartbeat  time.Duration
}

// OnceKeys is how many once keys of a session are remembered, the latest.
// It is the same on every peer since it decides what a command does.
const OnceKeys = 1024

// DefaultLimits returns the limits of a peer that was told nothing else, for a
// process that may open the given number of descriptors.
func DefaultLimits(descriptors int) Limits {
	return Limits{
		Message:  256 << 10,
		Data:     64 << 10,
		Path:     1024,
		Segments: 32,
		Depth:    32,
		RID:      128,
		Once:     128,

		SessionItems:       10_000,
		ListItems:          100_000,
		SessionWatches:     1_000,
		SessionConnections: 100,
		Connections:        descriptors / 10 * 9,

		Rate:     20_000,
		InFlight: 1_024,
		Outbox:   1 << 20,

		Head:    16 << 10,
		Lines:   100,
		HeadFor: 5 * time.Second,
		RestFor: 10 * time.Second,
		Leader:  5 * time.Second,
		Wait:    55 * time.Second,
		Stuck:   30 * time.Second,

		Grace:         10 * time.Minute,
		DefaultGrace:  2 * time.Second,
		FailoverGrace: 10 * time.Second,
		Heartbeat:     10 * time.Second,
		MinHeartbeat:  250 * time.Millisecond,
		MaxHeartbeat:  10 * time.Minute,
	}
}
