package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
)

// failure is a handler that panicked.
//
// connection | session | watch path → its supervisor, as protoactor carries it
type failure struct {
	box        *mailbox
	lost       message // whose handler it was; nil: none's
	reason     any
	stack      []byte
	restarting bool // it failed while it came back from another failure
}

// Error says what happened, without the stack.
func (f *failure) Error() string {
	return fmt.Sprintf("actor %s failed handling %T: %v", f.box.pid.Id, f.lost, f.reason)
}

// supervision is the one strategy of all supervisors: the kind of what failed
// decides. It has no state, so that it is one value for protoactor.
type supervision struct{}

// HandleFailure decides what becomes of a failed actor. It runs in the
// supervisor; the failed actor's mailbox is suspended meanwhile.
func (supervision) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	f := reason.(*failure)
	f.box.kind.decide(supervisor, f)
}

// connectionFailed stops the connection: its client comes back within the
// failover grace.
func (y *System) connectionFailed(_ actor.Supervisor, f *failure) {
	y.report(f)
	c := f.box.who.(*connection)
	c.abandon()
	f.box.stop()
}

// sessionFailed restarts the session; one that fails too often is ended.
func (y *System) sessionFailed(s actor.Supervisor, f *failure) {
	y.report(f)
	failed := f.box.who.(*session)
	if f.restarting || !failed.failed(y.now()) {
		failed.shard.bury(failed, f.lost)
		f.box.stop()
		return
	}
	s.RestartChildren(f.box.pid)
}

// watchPathFailed restarts it; its watchers look at the list anew.
func (y *System) watchPathFailed(s actor.Supervisor, f *failure) {
	y.report(f)
	if f.restarting {
		y.fatal(f)
		return
	}
	s.RestartChildren(f.box.pid)
}

// restartAlways is for actors whose state is not missed.
func (y *System) restartAlways(s actor.Supervisor, f *failure) {
	y.report(f)
	s.RestartChildren(f.box.pid)
}

// endProcess is for actors without which nothing is true any more. What they
// knew is in the log.
func (y *System) endProcess(_ actor.Supervisor, f *failure) {
	y.report(f)
	y.fatal(f)
}

// fatal hands a failure that nothing here can mend to whoever runs the process.
func (y *System) fatal(f *failure) {
	y.options.Fatal(fmt.Errorf("%w\n%s", f, f.stack))
}

// reportEvery is how often failures of one kind are logged, at most; those in
// between are counted.
const reportEvery = time.Second

// report counts a failure and logs it, with the stack, unless one of its kind
// was just logged.
func (y *System) report(f *failure) {
	k := f.box.kind
	k.failures.Add(1)
	y.introspection.box.post(&failed{failure: f, at: time.Now()})
	now := int64(y.now())
	last := k.reported.Load()
	if last != 0 && now-last < int64(reportEvery) || !k.reported.CompareAndSwap(last, max(now, 1)) {
		k.unreported.Add(1)
		return
	}
	stack := f.stack
	if b, ok := f.reason.(*broke); ok {
		stack = b.stack
	}
	y.options.Logger.Error().Str("kind", k.name).Str("actor", f.box.pid.Id).Type("message", f.lost).
		Interface("reason", fmt.Sprint(f.reason)).Uint64("unreported", k.unreported.Swap(0)).
		Bytes("stack", stack).Msg("an actor failed")
}

// errStopping refuses what comes while this peer stops.
var errStopping = &vera.Error{Code: vera.Unavailable, Message: "this peer is going away", Applied: vera.AppliedNo}
