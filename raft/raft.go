package raft

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/state"
)

// Raft is one peer's part in the log that all peers agree on, with the machine
// that the log drives. All methods may be called from any goroutine. Functions
// given to it are called on its own goroutines: they must not block.
type Raft struct {
	options   Options
	directory *directory
	log       *quietLog
	space     *space
	guard     *guard
	ahead     *ahead // before the guard, for hashicorp/raft
	largest   int
	snapshots *snapshots
	hraft     *hraft.Raft
	network   network    // nil: this peer is alone
	transport *transport // nil: alone
	handOver  *handOver
	leads     <-chan bool   // hashicorp/raft tells when this peer begins and ceases to lead
	changed   chan struct{} // of capacity 1: the leader is another, or none

	machine  *state.Machine
	fsm      *fsm
	proposer *proposer
	graces   *graces
	silences *silences
	fellows  *fellows
	feed     *Feed
	waiters  *waiters
	peers    *peers
	metrics  *metrics

	book       *book
	guests     guests
	live       atomic.Bool   // hashicorp/raft runs, and may be asked
	deserted   atomic.Bool   // no leader has been heard for lonelyAfter, nor a majority of the peers
	membership chan struct{} // of capacity 1: a configuration was applied
	changing   chan struct{} // of capacity 1: held while this peer changes the cluster
	leaving    sync.Once
	added      atomic.Uint64 // index of a configuration with this peer, of which its own log has none yet; 0: none
	dismissed  chan struct{} // of capacity 1: it was removed before it had any
	lifetime   context.Context
	die        context.CancelFunc // ends lifetime

	stop    chan struct{}
	running sync.WaitGroup
	closing sync.Once
	closed  error
}

func (r *Raft) raftID() hraft.ServerID { return hraft.ServerID(r.directory.RaftID) }

func (r *Raft) run(f func()) { r.running.Go(f) }

// Machine returns the state, to be read.
func (r *Raft) Machine() *state.Machine { return r.machine }

// Peer returns the id under which this peer hands over commands.
func (r *Raft) Peer() state.PeerID { return r.directory.id }

// Name returns the peer's name.
func (r *Raft) Name() string { return r.directory.Name }

// Cluster returns the id of the cluster.
func (r *Raft) Cluster() ClusterID { return r.directory.now().Cluster }

// CookieKey returns the 32 bytes with which the cluster signs cookies. They are
// a secret and must not be changed.
func (r *Raft) CookieKey() []byte { return r.directory.cookie }

// Propose hands commands to the log, in the order of the calls, and has done
// called once: when this peer applied all of them, with one reply each. It
// never blocks; the commands must not be changed any more.
//
// An error is a *vera.Error with code Unavailable: there was no leader for
// Options.Timeout, or this peer stops. Then a command whose reply has a code
// was applied all the same; of the others Applied says whether they were not,
// or may still be. A reply with the code Unavailable or TooLarge is of a
// command that was refused and never handed over, because the disk is nearly
// full, or since the log takes no command so large.
//
// What waits is not bounded here: the caller proposes no more before done than
// it can account for.
func (r *Raft) Propose(commands []state.Command, done func(replies []state.Reply, err error)) {
	r.proposer.propose(commands, done)
}

// Barrier has done called once this peer has applied everything that was
// committed before the call, with the index reached: what it reads then is
// linearizable. Calls that come together share one entry of the log. The error
// is a *vera.Error with code Unavailable.
func (r *Raft) Barrier(done func(index uint64, err error)) {
	r.proposer.barrier(func(index, _ uint64, err error) { done(index, err) })
}

// WhenApplied has done called, perhaps at once, when this peer has applied an
// index. cancel makes it forget that, unless it is too late.
func (r *Raft) WhenApplied(index uint64, done func()) (cancel func()) {
	return r.waiters.add(index, r.machine.Applied, done)
}

// Feed returns the latest changes.
func (r *Raft) Feed() *Feed { return r.feed }

// Peers returns the cluster as the list /vera/peers. When it changes, the feed
// says so.
func (r *Raft) Peers() *state.List { return r.peers.list.Load() }

// SetClientURL says where clients reach this peer.
func (r *Raft) SetClientURL(url string) {
	r.peers.setClientURL(url)
	r.proposer.announce()
}

// Close stops the peer. What still waits is answered with an error. It may be
// called again.
func (r *Raft) Close() error {
	r.closing.Do(func() {
		close(r.stop)
		r.die()
		var all []error
		if r.guard != nil {
			r.guard.closing.Store(true)
		}
		if r.hraft != nil {
			r.awaitChange()
			all = append(all, r.hraft.Shutdown().Error())
		}
		if r.network != nil {
			all = append(all, r.network.close())
		}
		r.running.Wait()
		if r.proposer != nil {
			r.proposer.close()
		}
		if r.ahead != nil {
			all = append(all, r.ahead.Close())
		}
		if r.metrics != nil {
			all = append(all, r.metrics.close())
		}
		all = append(all, r.directory.release())
		r.closed = errors.Join(all...)
	})
	return r.closed
}

// awaitMost bounds how long a change of the cluster delays the end of a peer: by
// then its leader is deposed, which answers it, unless its disk hangs.
const awaitMost = 2 * time.Second

// awaitChange waits until no change of the cluster is under way, and keeps
// others from beginning: one that was committed when hashicorp/raft is shut
// down may never be answered, and whoever waits for it would never end.
func (r *Raft) awaitChange() {
	most := time.NewTimer(awaitMost)
	defer most.Stop()
	select {
	case r.changing <- struct{}{}:
	case <-most.C:
	}
}
