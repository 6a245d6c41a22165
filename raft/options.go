package raft

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Options are how Open opens a peer. Only Dir and Name must be given.
type Options struct {
	Dir     string    // the data directory; made when there is none
	Name    string    // of the peer: 1 to 255 bytes without spaces
	Cluster ClusterID // whose data the directory must hold, or will; "": any

	ClientURL string // what others are told; see also Raft.SetClientURL

	// PeerListener is where the other peers speak to this one; Raft closes it.
	// nil: this peer is alone, and needs nothing of what follows. PeerURL is what
	// the others are told, https://HOST:PORT; "": the listener's address.
	PeerListener net.Listener
	PeerURL      string
	// Secret is the cluster's, of 16 bytes or more: who knows it may join. Join
	// are peers to ask, HOST:PORT of their peer listeners, the own one may be
	// among them. A new directory without Join forms a cluster of its own; with
	// Expect above 1 a cluster is formed as soon as so many new peers found each
	// other, which must be more than half of those in Join.
	Secret   []byte
	Join     []string
	Expect   int
	Observer bool // join without a vote; a peer that has one keeps it

	Logger  zerolog.Logger
	Metrics prometheus.Registerer // nil: nobody looks
	// Fatal is called at most once, when the disk failed or this peer was removed
	// from its cluster: the process must end with the error as its last words. nil: they are logged, and it exits with 1.
	Fatal func(error)

	FailoverGrace time.Duration // for sessions whose peer was lost; whole milliseconds
	Timeout       time.Duration // from Propose or Barrier to an answer; 0: 5 s
	Start         time.Duration // until the peer must be up, its log applied; 0: 5 min
	Reserve       uint64        // bytes of the disk kept for endings; 0: a twentieth of it, within 24 to 256 MiB

	FeedEntries int // outputs in the feed; 0: 65,536
	FeedBytes   int // bytes, about, that these keep alive; 0: 64 MiB

	// A snapshot is taken when so many entries came since the last one, looked
	// at each time an interval (up to twice that) is over; 0: 100,000 and 15 s.
	// Snapshots bound the log, and so the time to start: about 10 µs an entry.
	SnapshotEntries  uint64
	SnapshotInterval time.Duration
	// TrailingEntries stay in the log behind a snapshot, so that a peer that
	// was away for a while needs no snapshot; 2,048 or more, 0: 65,536. A leader
	// that was cut off and wrote more than that alone would be sent one snapshot
	// after another when it comes back.
	TrailingEntries uint64

	// Heartbeat and Election are hashicorp/raft's timeouts, Lease how long a
	// leader that hears nothing still leads; 0: 300, 300 and 250 ms.
	Heartbeat, Election, Lease time.Duration

	// In company this peer puts a mark into the log each Pulse, calls itself
	// suspended when for Suspect none of what it handed over was applied, and as
	// leader declares a peer gone of which nothing was for Gone; 0: 0.5, 1.5 and
	// 2 s. Suspect leaves room for an election between two pulses.
	Pulse, Suspect, Gone time.Duration

	// Memory has the peer use the disk of its name there, and that network,
	// instead of Dir and PeerListener: for tests.
	Memory *Memory

	memory   *memory                          // tests keep log and snapshots in memory
	wrap     func(*transport) hraft.Transport // tests put something between hashicorp/raft and its transport
	trailing uint64                           // tests keep less than TrailingEntries may be; 0: that many
}

// memory is what a peer in a test keeps its log in.
type memory struct {
	stores
	snapshots hraft.SnapshotStore
}

// or returns its argument, or what is meant by zero.
func or[T comparable](value, meant T) T {
	var zero T
	if value == zero {
		return meant
	}
	return value
}

func (o *Options) complete() {
	o.Timeout = or(o.Timeout, 5*time.Second)
	o.Start = or(o.Start, 5*time.Minute)
	o.FeedEntries = or(o.FeedEntries, 64<<10)
	o.FeedBytes = or(o.FeedBytes, 64<<20)
	o.SnapshotEntries = or(o.SnapshotEntries, 100_000)
	o.SnapshotInterval = or(o.SnapshotInterval, 15*time.Second)
	o.TrailingEntries = or(o.TrailingEntries, 64<<10)
	o.trailing = or(o.trailing, o.TrailingEntries)
	o.Heartbeat = or(o.Heartbeat, 300*time.Millisecond)
	o.Election = or(o.Election, 300*time.Millisecond)
	o.Lease = or(o.Lease, 250*time.Millisecond)
	o.Pulse = or(o.Pulse, 500*time.Millisecond)
	o.Suspect = or(o.Suspect, 1500*time.Millisecond)
	o.Gone = or(o.Gone, 2*time.Second)
	if o.Fatal == nil {
		log := o.Logger
		o.Fatal = func(err error) { log.Fatal().Err(err).Msg("this peer ends") }
	}
	var once sync.Once
	fatal := o.Fatal
	o.Fatal = func(err error) { once.Do(func() { fatal(err) }) }
}

const (
	minSecret   = 16                             // bytes
	minTrailing = 2 * batchesOpen * batchEntries // what a peer that leads has under way, and as much of others
)

// check names everything that can't be, at once.
func (o *Options) check() error {
	var all []error
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	for _, address := range o.Join {
		if err := checkAddress(address); err != nil {
			bad("Join: %w", err)
		}
	}
	if len(o.Secret) > 0 && len(o.Secret) < minSecret {
		bad("Secret: the cluster's secret has %d bytes; it needs %d or more", len(o.Secret), minSecret)
	}
	if o.TrailingEntries < minTrailing {
		bad("TrailingEntries: %d is less than %d, and so than what can be under way", o.TrailingEntries, minTrailing)
	}
	if o.Expect < 0 {
		bad("Expect: %d peers can't be expected", o.Expect)
	}
	if o.Expect > 1 && 2*o.Expect <= len(o.Join) {
		bad("Expect: %d of the %d peers to join could be two clusters: expect more than half of them", o.Expect, len(o.Join))
	}
	if (len(o.Join) > 0 || o.Expect > 1) && len(o.Secret) == 0 {
		bad("Secret: who joins a cluster, or forms one with others, must know its secret")
	}
	if !o.company() && (len(o.Join) > 0 || o.Expect > 1 || o.Observer) {
		bad("PeerListener: who joins a cluster, or forms one with others, must be reachable for them")
	}
	return errors.Join(all...)
}

// company says whether there may be other peers.
func (o *Options) company() bool { return o.PeerListener != nil || o.Memory != nil }

// config is how hashicorp/raft runs.
func (o *Options) config(id string, log hclog.Logger) *hraft.Config {
	c := hraft.DefaultConfig()
	c.LocalID = hraft.ServerID(id)
	c.Logger = log
	c.HeartbeatTimeout = o.Heartbeat + headStart
	c.ElectionTimeout = o.Election + headStart
	c.LeaderLeaseTimeout = o.Lease
	c.MaxAppendEntries = batchEntries
	c.BatchApplyCh = true
	c.SnapshotThreshold = o.SnapshotEntries
	c.SnapshotInterval = o.SnapshotInterval
	c.TrailingLogs = o.trailing
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.RestoreCommittedLogs = false // it hangs, or loses the configuration
	return c
}

// headStart is how much shorter the timeouts become once the peer runs: to
// hear of a shorter one ends the wait for a leader at once, and a peer that
// votes alone leads within a millisecond.
const headStart = 10 * time.Millisecond

func (o *Options) reload() hraft.ReloadableConfig {
	return hraft.ReloadableConfig{
		TrailingLogs:      o.trailing,
		SnapshotInterval:  o.SnapshotInterval,
		SnapshotThreshold: o.SnapshotEntries,
		HeartbeatTimeout:  o.Heartbeat,
		ElectionTimeout:   o.Election,
	}
}
