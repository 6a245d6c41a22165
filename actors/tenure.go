package actors

import "time"

// tenure is a session's standing in the log, as far as this peer knows it. It
// decides what is to be done about it next; the session does it.
type tenure struct {
	life    uint64        // that this peer is attached to; 0: none
	ended   uint64        // the last life that is known to be over
	found   uint64        // a life that the log has and this peer is not attached to; 0: none
	held    time.Duration // the grace of this peer's attachment; less than 0: it must be renewed
	ending  bool          // its client wants it ended
	pending bool          // what was to be done is under way

	clean bool          // who left last did so on purpose, and nobody else was missed
	doubt time.Duration // until then, by the system's clock, a lost client may come back
	keep  time.Duration // for which this is the grace
}

// deed is something to be done about a session.
type deed uint8

const (
	toRest    deed = iota // nothing
	toInquire             // ask the log whether it has a life of the session, and this peer a part in it
	toOpen                // have it begin one
	toAttach              // have this peer count there, with the present grace
	toDetach              // have it count no more
	toEnd                 // have the life end
	toFinish              // end a session that the log does not know
	toAdmit               // let those in who wait at the door
	toVacate              // be forgotten here
)

// need is what a session has to do with.
type need struct {
	connections int
	arrivals    int           // connections at the door
	unsure      bool          // one of them may have had a life before
	writes      bool          // something waits for a life
	grace       time.Duration // the largest that any connection asked for
}

// next says what is to be done.
func (t *tenure) next(n need) deed {
	here := n.connections+n.arrivals > 0
	switch {
	case t.pending:
		return toRest
	case t.ending && t.life != 0:
		return toEnd
	case t.ending:
		return toFinish
	case t.life != 0 && !here:
		return toDetach
	case t.life == 0 && t.found != 0 && here:
		return toAttach
	case n.unsure: // also when it lives here: this peer may be late
		return toInquire
	case t.life == 0 && n.writes:
		return toOpen
	case t.life != 0 && n.grace > t.held:
		return toAttach
	case n.arrivals > 0:
		return toAdmit
	case !here:
		return toVacate
	}
	return toRest
}

// left takes note of a connection that went, whether on purpose, and of how
// long the session is to be kept for it otherwise. A grace that runs already
// is not cut short; what the log is told in the end is the whole of it, since
// it counts from where it hears of it, and while there was no leader nobody
// could come back.
func (t *tenure) left(clean bool, now, grace time.Duration) {
	missed := now < t.doubt
	t.clean = clean && !missed
	if clean {
		return
	}
	if missed {
		grace = max(grace, t.keep)
	}
	t.keep = grace
	t.doubt = max(t.doubt, now+grace)
}

// leave says how this peer is to be detached: on purpose, or to be kept for a
// grace.
func (t *tenure) leave() (clean bool, grace time.Duration) {
	if t.clean {
		return true, 0
	}
	return false, t.keep
}

// over forgets a life that ended, or that this peer has no part in any more.
func (t *tenure) over() {
	*t = tenure{pending: t.pending, ended: max(t.ended, t.life)}
}
