package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/raft/disk"
	"vera/raft/state"
)

const logDir = "log"

// Names in the stable store.
var (
	incarnationName = []byte("vera/incarnation") // the number of the last start
	termName        = []byte("CurrentTerm")      // hashicorp/raft's
)

// Open opens the data directory of a peer, or makes a new one, and starts
// Raft. It returns when the log is applied and this start is known to the log:
// the sessions that the last one left are within their failover grace from
// then on. In company that needs a majority of the peers, and waits for them
// until ctx is done. An error says what is wrong and what to do.
func Open(ctx context.Context, o Options) (*Raft, error) {
	o.complete()
	if err := o.check(); err != nil {
		return nil, err
	}
	d, err := o.openDirectory()
	if err != nil {
		return nil, err
	}
	r := &Raft{options: o, directory: d, machine: state.New(), stop: make(chan struct{}), changed: make(chan struct{}, 1), log: newQuietLog(o.Logger)}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", o.Dir, err), r.Close())
	}
	return r, nil
}

func (r *Raft) open(ctx context.Context) error {
	var err error
	if r.space, err = newSpace(r.directory.measure, r.options.Reserve); err != nil {
		return err
	}
	r.space.changed = r.spaceChanged
	r.metrics = newMetrics(r.options.Metrics)
	if err := r.openStores(); err != nil {
		return err
	}
	r.wire()
	if err := r.startRaft(); err != nil {
		return err
	}
	r.guard.running.Store(true)
	r.run(r.followLeadership)
	r.run(func() { r.proposer.run(r.stop) })
	r.run(func() { r.graces.run(r.stop) })
	r.run(func() { r.silences.run(r.stop) })
	r.run(r.pulse)
	if err := r.hraft.ReloadConfig(r.options.reload()); err != nil {
		return err
	}
	if err := r.comeUp(ctx); err != nil {
		return err
	}
	r.metrics.live.Store(true)
	r.log.up.Store(true)
	return r.metrics.register(r)
}

// openStores opens log and snapshots, makes them agree, and in a new directory
// forms the cluster.
func (r *Raft) openStores() error {
	var opened stores
	if m := r.options.memory; m != nil {
		opened, r.snapshots = m.stores, &snapshots{SnapshotStore: m.snapshots}
	} else if kept, in := r.directory.files.(*memoryStores); in {
		opened, r.snapshots = kept, &snapshots{SnapshotStore: kept}
	} else {
		log, err := disk.Open(r.directory.file(logDir), disk.Options{Synced: r.metrics.synced, Cut: r.cut})
		if err != nil {
			return err
		}
		opened, r.largest = log, log.MaxEntry()
	}
	r.guard = &guard{stores: opened, fatal: r.options.Fatal}
	if r.snapshots == nil {
		var err error
		if r.snapshots, err = openSnapshots(r.directory.path, r.log); err != nil {
			return err
		}
	}
	if err := r.form(); err != nil {
		return err
	}
	snapshot, err := newest(r.snapshots)
	if err != nil {
		return err
	}
	return agree(r.guard, snapshot)
}

func (r *Raft) spaceChanged(low error) {
	if low != nil {
		r.options.Logger.Warn().Err(low).Msg("pushes and updates are refused")
		return
	}
	r.options.Logger.Info().Msg("there is space on the disk again")
}

func (r *Raft) cut(path string, offset int64) {
	r.options.Logger.Info().Str("file", path).Int64("offset", offset).Msg("a write that a crash left unfinished was cut off")
}

// form makes a new directory a cluster of one, once. A directory that was
// formed and has no term has lost its log: without it, versions that were given
// to items would be given again.
func (r *Raft) form() error {
	term, err := r.number(termName)
	if err != nil {
		return err
	}
	if r.directory.Formed {
		if term == 0 {
			return errors.New("its log is gone: put the directory back from a backup, or begin with an empty --data-dir")
		}
		return nil
	}
	last, err := r.guard.LastIndex()
	if err != nil {
		return err
	}
	if last == 0 { // as hraft.BootstrapCluster, which refuses what it left half done
		if err := r.guard.SetUint64(termName, 1); err != nil {
			return err
		}
		alone := hraft.Configuration{Servers: []hraft.Server{{ID: r.raftID(), Address: hraft.ServerAddress(r.raftID())}}}
		entry := &hraft.Log{Index: 1, Term: 1, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(alone)}
		if err := r.guard.StoreLog(entry); err != nil {
			return err
		}
	}
	return r.directory.form()
}

// number reads from the stable store; 0 when there is none.
func (r *Raft) number(name []byte) (uint64, error) {
	n, err := r.guard.GetUint64(name)
	if err != nil && err.Error() == "not found" { // what hashicorp/raft's own stores say
		return 0, nil
	}
	return n, err
}

// wire makes the parts and tells them of each other.
func (r *Raft) wire() {
	d, o := r.directory, &r.options
	r.feed = newFeed(o.FeedEntries, o.FeedBytes)
	r.waiters = newWaiters()
	r.peers = newPeers(r.raftID(), o.ClientURL, o.PeerURL)
	r.proposer = newProposer(d.id, o.Timeout, r.countStart, r.enter)
	r.proposer.largest = or(r.largest, r.proposer.largest)
	r.proposer.full = r.space.full
	r.proposer.counted = r.metrics.handed
	r.proposer.grace = o.FailoverGrace
	r.fellows = newFellows(d.id, o.Logger)
	r.fellows.found = r.metrics.diverged
	r.proposer.reached = r.fellows.hashes.reached
	r.graces = newGraces()
	r.graces.leads = func(term uint64) bool { return r.leading() && r.hraft.CurrentTerm() == term }
	r.graces.barrier = r.proposer.barrier
	r.graces.expire = r.proposer.expire
	r.graces.late = r.metrics.expired
	r.graces.missed = func(d *doubt) bool {
		s := r.machine.Session(d.session)
		return s != nil && s.Life() == d.life && s.Since() == d.since
	}
	r.silences = newSilences(d.id, o.Gone, o.FailoverGrace)
	r.silences.leads, r.silences.barrier, r.silences.expire = r.graces.leads, r.graces.barrier, r.graces.expire
	r.silences.peers = r.machine.Peers
	r.silences.member = r.peers.member
	r.fsm = &fsm{
		machine: r.machine, proposer: r.proposer, graces: r.graces, silences: r.silences, fellows: r.fellows,
		feed: r.feed, waiters: r.waiters, peers: r.peers, metrics: r.metrics,
		ready: make(chan struct{}),
	}
}

// startRaft starts hashicorp/raft, which panics where it cannot write.
func (r *Raft) startRaft() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		close(r.fsm.ready)
	}()
	config := r.options.config(r.directory.RaftID, r.log)
	leads := make(chan bool, 16)
	config.NotifyCh, r.leads = leads, leads
	started, err := hraft.NewRaft(config, prompt{r.fsm, r.nudge}, r.guard, r.guard, r.snapshots, r.connect())
	if started != nil {
		r.hraft = started
	}
	if broken := r.snapshots.broken; broken != nil {
		return broken
	}
	if broken := r.fsm.broken.Load(); broken != nil {
		return damagedSnapshot(r.snapshots.path, *broken)
	}
	if err != nil {
		return err
	}
	if err := r.checkMembership(); err != nil {
		return err
	}
	r.listen()
	return nil
}

// checkMembership refuses a log that is not this peer's.
func (r *Raft) checkMembership() error {
	current := r.hraft.GetConfiguration()
	if err := current.Error(); err != nil {
		return err
	}
	for _, s := range current.Configuration().Servers {
		if s.ID == r.raftID() {
			r.peers.leader = func() hraft.ServerID { _, id := r.hraft.LeaderWithID(); return id }
			r.peers.configure(current.Configuration(), current.Index())
			return nil
		}
	}
	raw, _ := json.Marshal(current.Configuration().Servers)
	return fmt.Errorf("its log is another peer's (%s, not %s): put back the log that belongs to %s", raw, r.raftID(), identityFile)
}

// comeUp tells the log of this start and waits until that, and all before, is
// applied here.
func (r *Raft) comeUp(ctx context.Context) error {
	began := time.Now()
	for {
		passed := make(chan error, 1)
		r.Barrier(func(_ uint64, err error) { passed <- err })
		err := <-passed
		if err == nil && r.Incarnation() == r.machine.Peer(r.directory.id).Incarnation {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the peer did not come up: %w", context.Cause(ctx))
		}
		if time.Since(began) > r.options.Start {
			return fmt.Errorf("the peer did not come up within %v: %w", r.options.Start, err)
		}
		r.options.Logger.Info().Uint64("applied", r.machine.Applied()).Dur("since", time.Since(began)).Msg("not up yet")
	}
	return nil
}
