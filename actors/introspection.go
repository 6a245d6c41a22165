package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
)

// introspection is the actor that keeps what went wrong last, for operators.
type introspection struct {
	box    mailbox
	system *System
	recent []Failure // the newest last
}

// keptFailures is how many failures are kept.
const keptFailures = 32

// failed says that an actor failed.
//
// supervisor → introspection: whenever it decided what becomes of one
type failed struct {
	link
	failure *failure
	at      time.Time
}

// ask wants to know an actor's state.
//
// operator → any actor
type ask struct {
	link
	told chan any // of capacity 1
}

func (m *ask) answer(r resident) { m.told <- r.describe() }

// foreign is a message that protoactor itself sent as a user's.
type foreign struct {
	link
	of any
}

// Receive handles one message.
func (n *introspection) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *failed:
		n.keep(m)
	case *ask:
		m.answer(n)
	}
}

func (n *introspection) settle() {}

func (n *introspection) reborn(message) {}

func (n *introspection) describe() any { return slices.Clone(n.recent) }

func (n *introspection) keep(m *failed) {
	if len(n.recent) == keptFailures {
		n.recent = slices.Delete(n.recent, 0, 1)
	}
	f := m.failure
	n.recent = append(n.recent, Failure{
		At: m.at, Kind: f.box.kind.name, Actor: f.box.pid.Id,
		Message: fmt.Sprintf("%T", f.lost), Reason: fmt.Sprint(f.reason), Stack: string(f.stack),
	})
}

// Failure is an actor that failed.
type Failure struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Actor   string    `json:"actor"`
	Message string    `json:"message"` // type of the message that it was handling
	Reason  string    `json:"reason"`
	Stack   string    `json:"stack"`
}

// Kind is what all actors of a kind do together.
type Kind struct {
	Kind     string `json:"kind"`
	Actors   int    `json:"actors"`
	Messages uint64 `json:"messages"` // handled since the start
	Restarts uint64 `json:"restarts"`
	Failures uint64 `json:"failures"`
	Deepest  int    `json:"deepest"` // messages in one mailbox, the most there ever were
}

// Actor is one actor as seen from outside.
type Actor struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Waiting  int    `json:"waiting"` // messages in its mailbox, about
	Deepest  int    `json:"deepest"`
	Messages uint64 `json:"messages"`
	State    any    `json:"state,omitempty"` // only when one actor is asked for
}

// Branch is a supervisor and how many it supervises.
type Branch struct {
	Actor
	Children map[string]int `json:"children,omitempty"` // by kind
	Branches []Branch       `json:"branches,omitempty"`
}

// Kinds returns what each kind of actor does.
func (y *System) Kinds() []Kind {
	var all []Kind
	for _, k := range y.kinds.all() {
		all = append(all, Kind{
			Kind: k.name, Actors: k.count(), Messages: k.handled(),
			Restarts: k.restarts.Load(), Failures: k.failures.Load(), Deepest: int(k.deepest.Load()),
		})
	}
	return all
}

func (b *mailbox) seen() Actor {
	return Actor{
		ID: b.pid.Id, Kind: b.kind.name,
		Waiting: b.depth(), Deepest: int(b.deepest.Load()), Messages: b.handled.Load(),
	}
}

// Top returns the n actors with the deepest mailboxes: those in which most
// waits now, then those in which most ever waited. n is at least 1.
func (y *System) Top(n int) []Actor {
	order := func(a, b Actor) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(b.Deepest, a.Deepest), cmp.Compare(b.Messages, a.Messages))
	}
	var top []Actor
	for _, k := range y.kinds.all() {
		k.each(func(b *mailbox) {
			seen := b.seen()
			if len(top) == n && order(seen, top[n-1]) >= 0 {
				return
			}
			place, _ := slices.BinarySearchFunc(top, seen, order)
			if top = slices.Insert(top, place, seen); len(top) > n {
				top = top[:n]
			}
		})
	}
	return top
}

// Tree returns the actors that are always there, and how many each supervises.
func (y *System) Tree() []Branch {
	manager := Branch{Actor: y.manager.box.seen()}
	supervised := map[*actor.PID]map[string]int{}
	for _, k := range []*kind{y.kinds.session, y.kinds.connection, y.kinds.watchPath} {
		k.each(func(b *mailbox) {
			parent := b.invoker.(actor.Context).Parent()
			if supervised[parent] == nil {
				supervised[parent] = map[string]int{}
			}
			supervised[parent][k.name]++
		})
	}
	add := func(b *mailbox) {
		manager.Branches = append(manager.Branches, Branch{Actor: b.seen(), Children: supervised[b.pid]})
	}
	for _, d := range y.shards {
		add(&d.box)
	}
	for _, w := range y.watchShards {
		add(&w.box)
	}
	return []Branch{manager, {Actor: y.raft.box.seen()}, {Actor: y.introspection.box.seen()}}
}

// errNoActor is returned for an id that no actor has.
var errNoActor = vera.Errorf(vera.NotFound, "id: no actor has it")

func (y *System) find(id string) (*mailbox, error) {
	for _, k := range y.kinds.all() {
		if b := k.find(id); b != nil {
			return b, nil
		}
	}
	return nil, errNoActor
}

// Actor returns one actor with its state. It waits for the actor's answer;
// the error is NotFound, or the context's.
func (y *System) Actor(ctx context.Context, id string) (Actor, error) {
	b, err := y.find(id)
	if err != nil {
		return Actor{}, err
	}
	seen := b.seen()
	seen.State, err = b.ask(ctx)
	return seen, err
}

// askFor is how long an actor has to describe itself: it may have stopped.
const askFor = 2 * time.Second

// ask waits for an actor to describe itself.
func (b *mailbox) ask(ctx context.Context) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	m := &ask{told: make(chan any, 1)}
	b.post(m)
	select {
	case state := <-m.told:
		return state, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("ask %s: %w", b.pid.Id, context.Cause(ctx))
	}
}

// Failures returns the failures of actors that are remembered, the newest
// last.
func (y *System) Failures(ctx context.Context) ([]Failure, error) {
	recent, err := y.introspection.box.ask(ctx)
	if err != nil {
		return nil, err
	}
	return recent.([]Failure), nil
}
