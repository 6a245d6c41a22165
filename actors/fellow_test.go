package actors

import (
	"time"

	"vera"
	"vera/raft/state"
)

func (f *fellow) Machine() *state.Machine { return f.machine }
func (f *fellow) Peer() state.PeerID      { return f.id }
func (f *fellow) Feed() *memoryFeed       { return f.feed }
func (f *fellow) Peers() *state.List      { return state.NewList(1, nil) }

func (f *fellow) Status() vera.Status {
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	applied := f.machine.Applied()
	s := vera.Status{Peer: f.name, Leader: "a", Applied: applied, Committed: max(applied, f.cluster.index)}
	s.Suspended = time.Since(f.contact) > clusterSuspect
	if !f.in {
		s.Committed = applied
	}
	return s
}

func (f *fellow) LeaderContact() time.Time {
	f.cluster.mu.Lock()
	defer f.cluster.mu.Unlock()
	return f.contact
}

func (f *fellow) Propose(commands []state.Command, done func([]state.Reply, error)) {
	w := &wish{commands: commands, replies: make([]state.Reply, len(commands)), open: len(commands), done: done}
	w.due = time.Now().Add(clusterTimeout)
	f.cluster.with(func() { f.queue = append(f.queue, w) })
}

func (f *fellow) Barrier(done func(uint64, error)) {
	b := barrier{due: time.Now().Add(clusterTimeout), done: done}
	f.cluster.with(func() { f.barriers = append(f.barriers, b) })
}

func (f *fellow) WhenApplied(index uint64, done func()) (cancel func()) {
	w := &reached{index, done}
	f.cluster.with(func() { f.waiting = append(f.waiting, w) })
	return func() {
		f.cluster.mu.Lock()
		defer f.cluster.mu.Unlock()
		w.done = nil
	}
}

// handOver numbers what waits and sends it off, with a mark when one is due.
func (f *fellow) handOver(now time.Time) {
	if !f.hands {
		return
	}
	if !f.busy {
		f.number()
	}
	asked := false
	for i := range f.barriers {
		if f.barriers[i].mark == 0 {
			asked, f.barriers[i].mark = true, f.marks+1
		}
	}
	if asked || now.Sub(f.pulsed) >= clusterPulse {
		f.marks++
		f.pulsed = now
		f.sent = append(f.sent, &handed{by: f, at: now, mark: f.marks, inc: f.incarnation})
	}
}

// number makes entries of what waits.
func (f *fellow) number() {
	for _, w := range f.queue {
		for from := 0; from < len(w.commands); {
			to := from + 1
			for to < len(w.commands) && to-from < 256 && !w.commands[from].Kind.Alone() && !w.commands[to].Kind.Alone() {
				to++
			}
			f.send(w.commands[from:to], w, from)
			from = to
		}
	}
	f.queue = nil
}

func (f *fellow) send(commands []state.Command, w *wish, offset int) {
	b := state.Batch{Peer: f.id, Incarnation: f.incarnation, First: f.sequence + 1, Commands: commands}
	f.sequence += uint64(len(commands))
	f.sent = append(f.sent, &handed{by: f, at: time.Now(), data: b.Append(nil), inc: f.incarnation, of: w, offset: offset, count: len(commands)})
}

// apply takes what was committed, and returns whom to tell.
func (f *fellow) apply() (tell []func()) {
	for ; f.applied < len(f.cluster.entries); f.applied++ {
		h := f.cluster.entries[f.applied]
		mine := h.by == f && h.inc == f.incarnation
		if h.data == nil {
			f.machine.Advance(h.index)
			if mine {
				f.contact = h.at
				tell = append(tell, f.pass(h)...)
			}
			continue
		}
		out := f.machine.Apply(h.index, append([]byte(nil), h.data...))
		feed := out
		tell = append(tell, func() { f.feed.add(feed) })
		if h.by == f {
			tell = append(tell, f.answer(h, out)...)
		}
		if p := f.myself(); p.Gone && p.Incarnation == f.incarnation && f.lives.Load() {
			f.rise(f.incarnation + 1)
		}
	}
	for _, w := range f.waiting {
		if w.done != nil && w.index <= f.machine.Applied() {
			tell = append(tell, w.done)
			w.done = nil
		}
	}
	return tell
}

func (f *fellow) myself() state.Peer {
	for _, p := range f.machine.Peers() {
		if p.Peer == f.id {
			return p
		}
	}
	return state.Peer{}
}

// answer takes the replies to an own entry. One that was void was handed over
// anew.
func (f *fellow) answer(h *handed, out state.Output) (tell []func()) {
	if out.Skipped {
		return nil
	}
	w := h.of
	f.contact = h.at
	if w == nil {
		return nil
	}
	w.open -= copy(w.replies[h.offset:], out.Replies)
	if w.open == 0 && w.done != nil {
		done := w.done
		w.done = nil
		tell = append(tell, func() { done(w.replies, nil) })
	}
	return tell
}

func (f *fellow) pass(h *handed) (tell []func()) {
	kept := f.barriers[:0]
	for _, b := range f.barriers {
		if b.mark == 0 || b.mark > h.mark {
			kept = append(kept, b)
			continue
		}
		tell = append(tell, func() { b.done(h.index, nil) })
	}
	f.barriers = kept
	return tell
}

// giveUp tells who waited for too long. What was handed over stays under way.
func (f *fellow) giveUp(now time.Time) (tell []func()) {
	late := func(w *wish, applied vera.Applied) {
		if w != nil && w.done != nil && !w.due.After(now) {
			done := w.done
			w.done = nil
			replies := append([]state.Reply(nil), w.replies...)
			tell = append(tell, func() {
				done(replies, &vera.Error{Code: vera.Unavailable, Message: "no leader agreed in time", Applied: applied})
			})
		}
	}
	kept := f.queue[:0]
	for _, w := range f.queue {
		if late(w, vera.AppliedNo); w.done != nil {
			kept = append(kept, w)
		}
	}
	f.queue = kept
	for _, h := range f.sent {
		late(h.of, vera.AppliedUnknown)
	}
	for _, h := range f.cluster.entries[f.applied:] {
		if h.by == f {
			late(h.of, vera.AppliedUnknown)
		}
	}
	waiting := f.barriers[:0]
	for _, b := range f.barriers {
		if b.due.After(now) {
			waiting = append(waiting, b)
			continue
		}
		tell = append(tell, func() {
			b.done(0, &vera.Error{Code: vera.Unavailable, Message: "no leader agreed in time", Applied: vera.AppliedNo})
		})
	}
	f.barriers = waiting
	return tell
}
