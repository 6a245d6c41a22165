package actors

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// kind is what all actors of one kind share, and where they are found.
type kind struct {
	name     string // the first half of its actors' ids
	system   *actor.ActorSystem
	props    *actor.Props
	runners  *runners
	decide   func(s actor.Supervisor, f *failure) // says what becomes of an actor that failed
	restarts atomic.Uint64
	failures atomic.Uint64
	retired  atomic.Uint64                 // messages handled by those that have stopped
	deepest  atomic.Int32                  // mailbox, of all that ever lived
	fault    atomic.Pointer[func(message)] // tests break handlers with it; else nil

	reported   atomic.Int64  // when a failure was logged last, by the system's clock; 0: never
	unreported atomic.Uint64 // failures since then

	mu    sync.Mutex
	birth birth
	boxes []*mailbox // of all that live
}

// birth is what the spawn under way needs to know: the functions that
// protoactor calls take no arguments of ours, and a Props of its own for every
// actor would cost more than the actor. It stands under kind.mu, and doubles as
// the spawner's context whose Self is the supervisor: so failures arrive there
// without a set of children, which would cost 109 bytes an actor and hold the
// dead.
type birth struct {
	*actor.RootContext
	supervisor *actor.PID
	who        resident
	box        *mailbox
}

// Self is the supervisor of what is being spawned.
func (b *birth) Self() *actor.PID { return b.supervisor }

func newKind(system *actor.ActorSystem, runners *runners, name string, decide func(actor.Supervisor, *failure)) *kind {
	k := &kind{name: name, system: system, runners: runners, decide: decide}
	k.birth.RootContext = system.Root
	k.props = actor.PropsFromProducer(
		func() actor.Actor { return k.birth.who },
		actor.WithMailbox(func() actor.Mailbox { return k.birth.box }),
		actor.WithSpawnFunc(func(as *actor.ActorSystem, id string, props *actor.Props, _ actor.SpawnerContext) (*actor.PID, error) {
			return actor.DefaultSpawner(as, id, props, &k.birth)
		}),
		actor.WithSupervisor(supervision{}),
	)
	return k
}

// spawn gives an actor its mailbox and its supervisor.
func (k *kind) spawn(who resident, box *mailbox, supervisor *actor.PID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.birth.who, k.birth.box, k.birth.supervisor = who, box, supervisor
	box.kind, box.who = k, who
	serial := atomic.AddUint64(&k.system.ProcessRegistry.SequenceID, 1)
	pid, err := k.system.Root.SpawnNamed(k.props, k.name+"-"+strconv.FormatUint(serial, 10))
	if err != nil {
		panic("an actor's id was given twice: " + err.Error())
	}
	box.pid = pid
	box.slot = int32(len(k.boxes))
	k.boxes = append(k.boxes, box)
	k.birth.who, k.birth.box, k.birth.supervisor = nil, nil, nil
}

// rebirth lets protoactor restart an actor, which stays the same value.
func (k *kind) rebirth(box *mailbox, restart any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.birth.who = box.who
	box.invoker.InvokeSystemMessage(restart)
	k.birth.who = nil
	k.restarts.Add(1)
}

// leave forgets an actor that has stopped.
func (k *kind) leave(box *mailbox) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if box.closed.Swap(true) {
		return
	}
	last := k.boxes[len(k.boxes)-1]
	k.boxes[box.slot], last.slot = last, box.slot
	k.boxes[len(k.boxes)-1] = nil
	k.boxes = k.boxes[:len(k.boxes)-1]
	if cap(k.boxes) > 64 && len(k.boxes) < cap(k.boxes)/4 {
		k.boxes = append(make([]*mailbox, 0, cap(k.boxes)/2), k.boxes...)
	}
	k.retired.Add(box.handled.Load())
}

func (k *kind) measure(depth int32) {
	for {
		deepest := k.deepest.Load()
		if depth <= deepest || k.deepest.CompareAndSwap(deepest, depth) {
			return
		}
	}
}

// count is how many live.
func (k *kind) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.boxes)
}

// each calls do for all that live, in no order. Nobody is spawned or stopped
// meanwhile, so do must be quick and must not send.
func (k *kind) each(do func(*mailbox)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.boxes {
		do(b)
	}
}

// find returns the actor of that id, or nil.
func (k *kind) find(id string) (found *mailbox) {
	k.each(func(b *mailbox) {
		if b.pid.Id == id {
			found = b
		}
	})
	return found
}

// all returns those that live.
func (k *kind) all() []*mailbox {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]*mailbox(nil), k.boxes...)
}

// handled is how many messages the kind has handled since the start.
func (k *kind) handled() uint64 {
	n := k.retired.Load()
	k.each(func(b *mailbox) { n += b.handled.Load() })
	return n
}
