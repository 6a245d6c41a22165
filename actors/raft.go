package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
	"vera/raft/state"
)

// Bounds of what is handed to the log at once.
const (
	batchCommands = 1024
	batchBytes    = 1 << 20 // of data, about
	retryAfter    = 500 * time.Millisecond
)

// journalist is the actor that hands commands to the log: one batch is under
// way, the next one gathers meanwhile. So the order in which they came is the
// order in which they are applied, and batches grow with the load. What
// gathers is bounded by what connections and sessions may have under way.
type journalist struct {
	box    mailbox
	system *System

	queue   []proposal // the oldest first
	flight  []proposal // in the log's hands
	paused  bool       // the log refused; it is asked again in a while
	outcome outcome    // of the batch under way
}

// outcome is what became of a batch.
//
// log → raft: this peer has applied all of it, or it was given up
type outcome struct {
	link
	replies []state.Reply
	err     error
}

// resumed says that the log may be asked again.
//
// clock → raft: a while after it refused
type resumed struct{ link }

// Receive handles one message.
func (j *journalist) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case proposal:
		j.take(m)
	case *outcome:
		j.done(m)
	case *resumed:
		j.paused = false
	case *ask:
		m.answer(j)
	}
}

// settle hands over what gathered while messages were handled.
func (j *journalist) settle() {
	if len(j.flight) == 0 && len(j.queue) > 0 && !j.paused {
		j.propose()
	}
}

func (j *journalist) reborn(message) {}

func (j *journalist) describe() any {
	return map[string]any{"queued": len(j.queue), "underWay": len(j.flight), "paused": j.paused}
}

// take queues a proposal. Those that were given up go when there are many.
func (j *journalist) take(m proposal) {
	if len(j.queue) == cap(j.queue) && len(j.queue) >= batchCommands {
		j.queue = dropAbandoned(j.queue)
	}
	j.queue = append(j.queue, m)
}

func dropAbandoned(queue []proposal) []proposal {
	kept := queue[:0]
	for _, m := range queue {
		if m.carried().stage.Load() != abandoned {
			kept = append(kept, m)
		}
	}
	clear(queue[len(kept):])
	return kept
}

// propose hands over as much of the queue as makes a batch.
func (j *journalist) propose() {
	n := min(len(j.queue), batchCommands)
	commands := make([]state.Command, 0, n)
	taken, bytes := 0, 0
	for _, m := range j.queue[:n] {
		if bytes >= batchBytes {
			break
		}
		taken++
		if o := m.carried(); o.stage.Load() == proposed || o.stage.CompareAndSwap(queued, proposed) {
			commands = append(commands, m.command())
			bytes += len(commands[len(commands)-1].Data)
			j.flight = append(j.flight, m)
		}
	}
	j.shift(taken)
	if len(commands) > 0 {
		j.system.log.Propose(commands, j.applied)
	}
}

// shift takes the first n off the queue and gives back what a burst took.
func (j *journalist) shift(n int) {
	rest := copy(j.queue, j.queue[n:])
	clear(j.queue[rest:])
	j.queue = j.queue[:rest]
	if rest == 0 && cap(j.queue) > 4*batchCommands {
		j.queue = nil
	}
}

// applied is called by the log, once for each batch.
func (j *journalist) applied(replies []state.Reply, err error) {
	j.outcome.replies, j.outcome.err = replies, err
	j.box.post(&j.outcome)
}

// done gives everybody the outcome. What must be done though it failed comes
// first once more, in its order.
func (j *journalist) done(m *outcome) {
	var again []proposal
	var by crowd
	for i, p := range j.flight {
		o := p.carried()
		if i < len(m.replies) && m.replies[i].Code != "" {
			o.reply = m.replies[i]
		} else {
			o.err = m.err
		}
		switch {
		case o.err != nil && p.must(), o.reply.Code == vera.Unavailable && p.must() && p.command().Kind != state.Open:
			o.reply, o.err = state.Reply{}, nil
			again = append(again, p)
		case o.home != nil:
			by.post(o.home, p)
		}
	}
	by.start()
	m.replies, m.err = nil, nil
	clear(j.flight)
	j.flight = j.flight[:0]
	if len(again) > 0 {
		j.queue = append(again, j.queue...)
		j.paused = true
		time.AfterFunc(retryAfter, func() { j.box.post(&resumed{}) })
	}
}
