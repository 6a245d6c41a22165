package actors

import (
	"runtime/debug"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// message is what actors send each other. It embeds a link, so that waiting in
// a mailbox costs no memory but its own. It waits in one mailbox at a time and
// belongs to whoever received it last.
type message interface{ waits() *link }

// link is a message's place in a mailbox.
type link struct {
	next  *link        // the one before it, while in the mailbox's stack; the one behind it, once taken
	of    message      // what embeds this link
	depth atomic.Int32 // how many wait, this one included; a sender may read it late, so it is atomic
}

func (l *link) waits() *link { return l }

// resident is an actor as its mailbox sees it. Its handlers never wait.
type resident interface {
	actor.Actor
	// settle is called when everything that had arrived is handled, and now and
	// then while more arrives: what is better done once for many messages.
	settle()
	// reborn is called after a restart, before any other message. Of what the
	// actor holds only what its type says to survive is to be believed. lost is
	// the message whose handler failed, or nil.
	reborn(lost message)
	// describe returns what an operator may see, as values that JSON knows.
	describe() any
}

const (
	settleEvery = 64 // messages between two calls of settle, at most
	lendFor     = 64 // messages that one handler's goroutine handles for others
	forever     = int(^uint(0) >> 1)
)

// busy stands in a mailbox that is being emptied and has nothing new.
var busy = new(link)

// mailbox is an actor's queue: many put, whoever found it at rest empties it.
// It is one word that senders share: nil at rest, busy, or the newest of a
// stack of messages (R. K. Treiber's; who empties it takes the whole stack, so
// nothing can come back in between). What a burst took it gives back with the
// messages.
type mailbox struct {
	head    atomic.Pointer[link]
	notices atomic.Pointer[notice] // of protoactor, the newest first; they go before messages
	hook    atomic.Pointer[tracer]
	handled atomic.Uint64 // messages
	left    atomic.Int32  // messages taken and not handled, as the last taking had it
	deepest atomic.Int32
	closed  atomic.Bool // the actor has stopped

	// Written when the actor is spawned.
	kind    *kind
	who     resident
	invoker actor.MessageInvoker
	pid     *actor.PID

	slot int32 // in kind.boxes, under kind.mu

	// Owned by whoever empties it.
	suspended bool
	todo      *link   // taken, the oldest first
	obeying   *notice // taken, the oldest first
	failure   *failure
}

// notice is a message of protoactor itself.
type notice struct {
	next *notice
	of   any
}

// put adds a message. True says that the mailbox was at rest and the caller
// must have it emptied.
func (b *mailbox) put(m message) (wake bool) {
	l := m.waits()
	l.of = m
	for {
		old := b.head.Load()
		depth := int32(1)
		if old != nil {
			depth += old.depth.Load()
		}
		l.next = old
		l.depth.Store(depth)
		if b.head.CompareAndSwap(old, l) {
			return old == nil
		}
	}
}

// post sends a message, to be handled on some other goroutine.
func (b *mailbox) post(m message) {
	if b.put(m) {
		b.kind.runners.run(job{first: b})
	}
}

// lend sends a message and, if the actor rests, handles it on this goroutine:
// no goroutine is started, and what the handler sends may be on its way before
// lend returns. A handler may lend its goroutine too.
func (b *mailbox) lend(m message) {
	if b.put(m) && !b.work(lendFor) {
		b.kind.runners.run(job{first: b})
	}
}

// drain empties the mailbox.
func (b *mailbox) drain() {
	for !b.work(forever) {
	}
}

// work handles messages, most of them at most, and returns true when the
// mailbox rests. False: it goes on being the caller's to empty.
func (b *mailbox) work(most int) (rests bool) {
	var now message
	ended := false
	defer func() {
		if !ended {
			b.fail(now, recover())
		}
	}()
	hook, fault := b.hook.Load(), b.kind.fault.Load()
	for n := 1; ; n++ {
		if b.notices.Load() != nil || b.obeying != nil {
			b.obey()
		}
		l := b.take()
		if l == nil {
			b.settle()
			if b.rest() {
				ended = true
				return true
			}
			continue
		}
		now = l.of
		switch {
		case b.closed.Load():
			b.turnAway(now)
		case hook != nil || fault != nil:
			b.watched(hook, fault, now)
		default:
			b.invoker.InvokeUserMessage(now)
		}
		now = nil
		if n%settleEvery == 0 {
			b.settle()
			hook = b.hook.Load()
		}
		if n >= most {
			ended = true
			return false
		}
	}
}

func (b *mailbox) settle() {
	if !b.suspended && !b.closed.Load() {
		b.who.settle()
	}
}

// take returns the next message, nil when there is none or none may be handled.
func (b *mailbox) take() *link {
	if b.todo == nil || b.suspended {
		b.fetch()
	}
	if b.suspended || b.todo == nil {
		return nil
	}
	l := b.todo
	b.todo, l.next = l.next, nil
	return l
}

// fetch takes all that have arrived behind those taken before.
func (b *mailbox) fetch() {
	l := b.head.Load()
	if l == busy || l == nil {
		return
	}
	l = b.head.Swap(busy)
	b.measure(l.depth.Load())
	var first *link
	for l != nil && l != busy {
		l.next, first, l = first, l, l.next
	}
	end := &b.todo
	for *end != nil {
		end = &(*end).next
	}
	*end = first
}

// measure keeps the counts: once for all that were taken together.
func (b *mailbox) measure(depth int32) {
	b.left.Store(depth)
	b.handled.Store(b.handled.Load() + uint64(depth))
	if depth > b.deepest.Load() {
		b.deepest.Store(depth)
		b.kind.measure(depth)
	}
}

// rest leaves the mailbox, unless something came.
func (b *mailbox) rest() bool {
	if b.left.Load() != 0 {
		b.left.Store(0)
	}
	if !b.head.CompareAndSwap(busy, nil) {
		return false
	}
	return b.notices.Load() == nil || !b.head.CompareAndSwap(nil, busy)
}

// depth is how many messages wait, about.
func (b *mailbox) depth() int {
	n := b.left.Load()
	if l := b.head.Load(); l != nil {
		n += l.depth.Load()
	}
	return int(n)
}

// fail reports a handler that panicked, with the stack as it still stands, or
// that left its goroutine, which nobody may do: then another one goes on.
func (b *mailbox) fail(now message, reason any) {
	if reason == nil {
		reason = "a handler left its goroutine"
		defer func() { b.kind.runners.run(job{first: b}) }()
	}
	b.failure = &failure{box: b, lost: now, reason: reason, stack: debug.Stack(), restarting: b.failure != nil}
	b.invoker.EscalateFailure(b.failure, now)
}

// obey does what protoactor asks for.
func (b *mailbox) obey() {
	for l := b.notices.Swap(nil); l != nil; {
		l.next, b.obeying, l = b.obeying, l, l.next
	}
	for b.obeying != nil {
		m := b.obeying.of
		b.obeying = b.obeying.next
		switch m.(type) {
		case *actor.SuspendMailbox:
			b.suspended = true
		case *actor.ResumeMailbox:
			b.suspended = false
		case *actor.Restart:
			b.kind.rebirth(b, m)
			b.who.reborn(b.failure.lost)
			b.failure = nil
		case *actor.Stop:
			b.invoker.InvokeSystemMessage(m)
			b.kind.leave(b)
			b.suspended = false // what still waits is turned away
		default:
			b.invoker.InvokeSystemMessage(m)
		}
	}
}

// refuser is an actor that answers what reaches it after it has stopped.
type refuser interface{ refuse(message) }

func (b *mailbox) turnAway(m message) {
	if r, ok := b.who.(refuser); ok {
		r.refuse(m)
	}
}

// PostUserMessage takes what protoactor itself sends as if it were a user's.
func (b *mailbox) PostUserMessage(m any) { b.post(&foreign{of: m}) }

// PostSystemMessage takes a message of protoactor. Started is dropped: nobody
// here does anything then, and it would start a goroutine for every spawn.
func (b *mailbox) PostSystemMessage(m any) {
	if _, started := m.(*actor.Started); started {
		return
	}
	n := &notice{of: m}
	for {
		n.next = b.notices.Load()
		if b.notices.CompareAndSwap(n.next, n) {
			break
		}
	}
	if b.head.CompareAndSwap(nil, busy) {
		b.kind.runners.run(job{first: b})
	}
}

// stop has the actor stop once its present message is handled. It may be
// called more than once.
func (b *mailbox) stop() { b.PostSystemMessage(&actor.Stop{}) }

// RegisterHandlers is told whose mailbox this is. The dispatcher is not used:
// whoever puts the first message decides who empties it.
func (b *mailbox) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	b.invoker = invoker
}

// Start does nothing: a mailbox needs no goroutine.
func (b *mailbox) Start() {}

// UserMessageCount is how many messages wait, about.
func (b *mailbox) UserMessageCount() int { return b.depth() }
