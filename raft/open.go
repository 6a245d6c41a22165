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
	r := &Raft{
		options: o, directory: d, machine: state.New(), log: newQuietLog(o.Logger),
		book: newBook(), guests: guests{known: map[string]string{}},
		stop: make(chan struct{}), changed: make(chan struct{}, 1), membership: make(chan struct{}, 1), dismissed: make(chan struct{}, 1), changing: make(chan struct{}, 1),
	}
	r.lifetime, r.die = context.WithCancel(context.Background())
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", d.path, err), r.Close())
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
	last, err := r.guard.LastIndex()
	if err != nil {
		return err
	}
	if err := r.directory.rename(r.options.Name, last); err != nil {
		return err
	}
	if err := r.speak(); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	r.wire()
	if err := r.startRaft(); err != nil {
		return err
	}
	r.run(r.followLeadership)
	r.run(func() { r.proposer.run(r.stop) })
	r.run(func() { r.handOver.rounds.run(r.stop) })
	r.run(func() { r.graces.run(r.stop) })
	r.run(func() { r.silences.run(r.stop) })
	r.run(r.pulse)
	if err := r.hraft.ReloadConfig(r.options.reload()); err != nil {
		return err
	}
	if !r.directory.now().Formed {
		if err := r.enterCluster(ctx); err != nil {
			return err
		}
	}
	if r.network != nil {
		r.run(r.followMembership)
		r.run(r.upkeep)
		r.run(r.watchDisk)
	}
	if err := r.comeUp(ctx); err != nil {
		return err
	}
	r.metrics.live.Store(true)
	r.log.up.Store(true)
	return r.metrics.register(r)
}

// openStores opens log and snapshots, and makes them agree.
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
	r.ahead = newAhead(r.guard, r.leadsOthers)
	if r.snapshots == nil {
		var err error
		if r.snapshots, err = openSnapshots(r.directory.path, r.log); err != nil {
			return err
		}
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

// begin has a new directory be one of a cluster: of its own, or of one that
// others are in. A directory that was formed and has no term has lost its log:
// without it, versions that were given to items would be given again.
func (r *Raft) begin(ctx context.Context) error {
	term, err := r.number(termName)
	if err != nil {
		return err
	}
	last, err := r.guard.LastIndex()
	if err != nil {
		return err
	}
	s, o := r.directory.now(), &r.options
	switch {
	case s.Formed && term == 0:
		return errors.New("its log is gone: put the directory back from a backup, or begin with an empty --data-dir")
	case s.Formed:
		return nil
	case last > 0 && !s.Joining: // a crash came while it formed its own
		return r.found()
	case r.network == nil && (s.Joining || s.Promise != nil):
		return errors.New("it was about to join a cluster: start it as then, with --peer-addr, --cluster-secret-file and --join, or begin with an empty --data-dir")
	case s.Joining:
		return r.join(ctx, s.Cluster)
	case s.Promise != nil || o.Expect > 1:
		return r.gather(ctx)
	case len(o.Join) > 0:
		return r.join(ctx, "")
	}
	return r.found()
}

// gather has peers that expect each other become one cluster.
func (r *Raft) gather(ctx context.Context) error {
	for {
		found, cluster, err := r.formation(ctx)
		if err != nil {
			return err
		}
		if found {
			return r.found()
		}
		if err := r.join(ctx, cluster); !errors.Is(err, errPromised) {
			return err
		}
	}
}

// found makes a new directory a cluster of one, as hraft.BootstrapCluster does,
// which refuses what it left half done.
func (r *Raft) found() error {
	last, err := r.guard.LastIndex()
	if err != nil {
		return err
	}
	if last == 0 {
		if err := r.guard.SetUint64(termName, 1); err != nil {
			return err
		}
		alone := hraft.Configuration{Servers: []hraft.Server{{ID: r.raftID(), Address: hraft.ServerAddress(r.peers.own().String())}}}
		entry := &hraft.Log{Index: 1, Term: 1, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(alone)}
		if err := r.guard.StoreLog(entry); err != nil {
			return err
		}
	}
	r.directory.cookie = random(cookieBytes)
	if err := r.directory.writeCookie(); err != nil {
		return err
	}
	return r.directory.form(1)
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
	r.peers.leader = r.leader
	r.proposer = newProposer(d.id, o.Timeout, r.countStart, r.enter)
	r.proposer.largest = or(r.largest, r.proposer.largest)
	r.proposer.full = r.space.full
	r.proposer.counted = r.metrics.handed
	r.proposer.grace = o.FailoverGrace
	r.fellows = newFellows(d.id, o.Logger)
	r.fellows.found, r.fellows.name = r.metrics.diverged, r.peers.name
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
	r.silences = newSilences(d.id, o.Gone, o.Pulse, o.FailoverGrace)
	r.silences.leads, r.silences.barrier = r.graces.leads, r.graces.barrier
	r.silences.expire, r.silences.risen = r.declare, r.tellOfRisen
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
	started, err := hraft.NewRaft(config, prompt{r.fsm, r.ahead.await, r.committed}, r.ahead, r.ahead, r.snapshots, r.connect())
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
	r.guard.running.Store(true)
	r.live.Store(true)
	return r.checkMembership()
}

// leader is the Raft id of who leads, as far as is known here.
func (r *Raft) leader() hraft.ServerID {
	if !r.live.Load() {
		return ""
	}
	_, id := r.hraft.LeaderWithID()
	return id
}

// checkMembership refuses a log that is not this peer's. One that joins is in
// no configuration yet.
func (r *Raft) checkMembership() error {
	servers := r.hraft.GetConfiguration().Configuration().Servers
	if _, in := find(servers, r.raftID()); !in && r.directory.now().Formed {
		raw, _ := json.Marshal(servers)
		return fmt.Errorf("its log is another peer's (%s, not %s): put back the log that belongs to %s", raw, r.raftID(), identityFile)
	}
	_, index := r.peers.configuration()
	r.peers.configure(hraft.Configuration{Servers: servers}, index)
	return nil
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
