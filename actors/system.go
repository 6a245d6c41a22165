package actors

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"vera"
	"vera/raft/state"
)

// Options are what a System must be told.
type Options struct {
	Limits  vera.Limits
	Owner   vera.OwnerShown
	Shards  int                   // of sessions, and as many of paths; 0: twice the cores
	Logger  zerolog.Logger        // the zero value logs nothing
	Metrics prometheus.Registerer // nil: none
	Fatal   func(error)           // called when this peer cannot go on, from any goroutine; nil: the process panics
	Stage   *Stage                // shared with other Systems of this process; nil: one of its own
}

// Stage is what the actors of several Systems in one process can share: it is
// 2.9 MB.
type Stage struct{ actors *actor.ActorSystem }

// NewStage makes a stage. What goes wrong on it is logged as warnings.
func NewStage(log zerolog.Logger) *Stage {
	handler := zerolog.NewSlogHandler(log.Level(zerolog.WarnLevel))
	return &Stage{actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(handler) }))}
}

// System is all actors of one peer. It is a vera.Service. All methods may be
// called from any goroutine.
type System struct {
	options Options
	limits  vera.Limits
	log     journal
	started time.Time
	seed    maphash.Seed
	actors  *actor.ActorSystem
	runners *runners

	kinds         kinds
	manager       manager
	raft          journalist
	introspection introspection
	shards        []*shard
	watchShards   []*watchShard
	meters        *meters

	closed    atomic.Bool // nobody is let in any more
	lost      atomic.Bool // the log hears nothing of this peer any more
	followers atomic.Int64
	done      chan struct{} // closed when the actors are told to stop
	closing   sync.Once
	clock     sync.WaitGroup
}

// kinds are the kinds of actors.
type kinds struct {
	manager, shard, watchShard, session, connection, watchPath, raft, introspection *kind
}

func (k *kinds) all() []*kind {
	return []*kind{k.manager, k.shard, k.session, k.connection, k.watchShard, k.watchPath, k.raft, k.introspection}
}

// New starts the actors of a peer on its log, which must outlive them. The
// error says which option is wrong or which metric is taken.
func New[F Feed](o Options, log Log[F]) (*System, error) {
	if o.Stage == nil {
		o.Stage = NewStage(o.Logger)
	}
	return start(o, log, log.Feed(), o.Stage.actors)
}

// start is New on an actor system that may be shared.
func start(o Options, log journal, feed Feed, actors *actor.ActorSystem) (*System, error) {
	if o.Limits.InFlight <= 0 || o.Limits.Outbox <= 0 || o.Limits.Leader <= 0 {
		return nil, errors.New("actors: the limits InFlight, Outbox and Leader must be more than 0")
	}
	if o.Shards <= 0 {
		o.Shards = 2 * runtime.GOMAXPROCS(0)
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { go panic(err) } // where nobody recovers
	}
	y := &System{
		options: o, limits: o.Limits, log: log, actors: actors,
		started: time.Now(), seed: maphash.MakeSeed(), done: make(chan struct{}),
	}
	y.manager = manager{system: y, feed: feed, read: feed.Index(), outputs: make([]state.Output, readAtOnce)}
	y.raft.system, y.introspection.system = y, y
	y.runners = newRunners()
	y.makeKinds()
	y.meters = newMeters(y)
	if err := y.meters.register(o.Metrics); err != nil {
		return nil, err
	}
	y.spawn()
	feed.Poke(y.manager.turned)
	y.manager.turned()
	y.clock.Go(y.tick)
	return y, nil
}

func (y *System) makeKinds() {
	y.kinds = kinds{
		manager:       newKind(y.actors, y.runners, "session-manager", y.endProcess),
		shard:         newKind(y.actors, y.runners, "shard", y.endProcess),
		watchShard:    newKind(y.actors, y.runners, "watch", y.endProcess),
		session:       newKind(y.actors, y.runners, "session", y.sessionFailed),
		connection:    newKind(y.actors, y.runners, "connection", y.connectionFailed),
		watchPath:     newKind(y.actors, y.runners, "watch-path", y.watchPathFailed),
		raft:          newKind(y.actors, y.runners, "raft", y.endProcess),
		introspection: newKind(y.actors, y.runners, "introspection", y.restartAlways),
	}
}

// spawn starts the actors that are always there.
func (y *System) spawn() {
	guardian := y.actors.Root.Copy().WithGuardian(supervision{}).Self()
	y.kinds.introspection.spawn(&y.introspection, &y.introspection.box, guardian)
	y.kinds.raft.spawn(&y.raft, &y.raft.box, guardian)
	y.kinds.manager.spawn(&y.manager, &y.manager.box, guardian)
	for range y.options.Shards {
		d := &shard{system: y, sessions: map[vera.SessionID]*session{}}
		y.kinds.shard.spawn(d, &d.box, y.manager.box.pid)
		y.shards = append(y.shards, d)
		w := &watchShard{system: y, paths: map[vera.Path]*watchPath{}}
		y.kinds.watchShard.spawn(w, &w.box, y.manager.box.pid)
		y.watchShards = append(y.watchShards, w)
	}
}

// tick runs the clock.
func (y *System) tick() {
	ticker := time.NewTicker(grain)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			y.manager.ticked()
		case <-y.done:
			return
		}
	}
}

// now is the system's clock: the time since its start.
func (y *System) now() time.Duration { return time.Since(y.started) }

func (y *System) shardIndex(id vera.SessionID) int {
	return int(binary.LittleEndian.Uint64(id[:8]) % uint64(len(y.shards)))
}

func (y *System) shardOf(id vera.SessionID) *shard { return y.shards[y.shardIndex(id)] }

func (y *System) watchShardIndex(path vera.Path) int {
	return int(maphash.String(y.seed, string(path)) % uint64(len(y.watchShards)))
}

func (y *System) watchShardOf(path vera.Path) *watchShard {
	return y.watchShards[y.watchShardIndex(path)]
}

// Connect attaches a connection to its session; see vera.Service.
func (y *System) Connect(ctx context.Context, h vera.Hello, s vera.Socket) (vera.Connection, error) {
	if y.closed.Load() {
		return nil, errStopping
	}
	c := newConnection(y, h, s)
	y.kinds.connection.spawn(c, &c.box, c.shard.box.pid)
	m := &arrival{connection: c, admitted: make(chan error, 1)}
	c.shard.box.lend(m)
	err := y.await(ctx, m.admitted)
	if err != nil {
		(*entrance)(c).Closed(vera.EndedLost)
		return nil, err
	}
	return (*entrance)(c), nil
}

// await waits for a word, at most as long as a request without a leader may.
func (y *System) await(ctx context.Context, word <-chan error) error {
	select {
	case err := <-word:
		return err
	default:
	}
	timer := time.NewTimer(y.limits.Leader)
	defer timer.Stop()
	select {
	case err := <-word:
		return err
	case <-timer.C:
		return &vera.Error{Code: vera.Unavailable, Message: "no leader agreed within " + y.limits.Leader.String(), Applied: vera.AppliedNo}
	case <-ctx.Done():
		return &vera.Error{Code: vera.Unavailable, Message: context.Cause(ctx).Error(), Applied: vera.AppliedNo}
	case <-y.done:
		return errStopping
	}
}

// Status is what this peer knows of its cluster; see vera.Service.
func (y *System) Status() vera.Status {
	status := y.log.Status()
	status.Draining = status.Draining || y.closed.Load()
	return status
}
