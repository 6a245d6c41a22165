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
	batchPatient  = 256     // commands of a batch that let others pass
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
	patient []proposal // likewise: sessions that are attached again, perhaps all of a peer
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
	if len(j.flight) == 0 && len(j.queue)+len(j.patient) > 0 && !j.paused {
		j.propose()
	}
}

func (j *journalist) reborn(message) {}

func (j *journalist) describe() any {
	return map[string]any{"queued": len(j.queue), "patient": len(j.patient), "underWay": len(j.flight), "paused": j.paused}
}

// take queues a proposal. Those that were given up go when there are many.
func (j *journalist) take(m proposal) {
	if s, ok := m.(*step); ok && s.patient {
		j.patient = append(j.patient, m)
		return
	}
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

// propose hands over as much of the queues as makes a batch.
func (j *journalist) propose() {
	commands := make([]state.Command, 0, min(len(j.queue), batchCommands)+min(len(j.patient), batchPatient))
	for len(commands) == 0 && len(j.queue)+len(j.patient) > 0 { // those that were given up are nothing to wait for
		commands = j.pack(commands, &j.queue, batchCommands)
		commands = j.pack(commands, &j.patient, batchPatient)
	}
	if len(commands) > 0 {
		j.system.log.Propose(commands, j.applied)
	}
}

// pack takes up to most off a queue's front, and gives back what a burst took.
func (j *journalist) pack(commands []state.Command, queue *[]proposal, most int) []state.Command {
	all, taken, bytes := *queue, 0, 0
	for taken < min(len(all), most) && bytes < batchBytes {
		m := all[taken]
		taken++
		if o := m.carried(); o.stage.Load() == proposed || o.stage.CompareAndSwap(queued, proposed) {
			commands = append(commands, m.command())
			bytes += len(commands[len(commands)-1].Data)
			j.flight = append(j.flight, m)
		}
	}
	rest := copy(all, all[taken:])
	clear(all[rest:])
	*queue = all[:rest]
	if rest == 0 && cap(all) > 4*batchCommands {
		*queue = nil
	}
	return commands
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
