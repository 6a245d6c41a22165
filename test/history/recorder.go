package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"vera"
)

// Operation is one request of a client and what became of it.
type Operation struct {
	ID         int    // its place among the operations, from 0 on
	Connection string // on which one; what is told on one connection is told in order
	Peer       string
	Life       *Life // whose it is; nil: a read without a session

	Action      vera.Action
	Path        string
	Data        string // push update: as it comes back, compacted
	Version     uint64 // update remove: which item
	Once        string
	IfMatch     uint64 // when Conditional
	Conditional bool
	Limit       int // vera.NoLimit: all items
	Consistent  bool
	MinIndex    uint64
	Since       uint64

	Called, Returned Moment // Returned.Seq 0: no answer came
	Answer           Message
}

// ok says whether it was done.
func (o *Operation) ok() bool { return o.Returned.Seq != 0 && o.Answer.Code == vera.OK }

// unknown says whether it may have been done all the same.
func (o *Operation) unknown() bool {
	return o.Returned.Seq == 0 || o.Answer.Code == "" || o.Answer.Applied == "unknown" ||
		o.Answer.Code == vera.InternalError || o.Answer.Code == vera.SessionEnded
}

// listed says whether the answer tells of a list.
func (o *Operation) listed() bool {
	return o.Returned.Seq != 0 && o.Answer.Items != nil && o.Action != vera.ActionSession &&
		(o.Answer.Code == vera.OK || o.Answer.Code == vera.PreconditionFailed)
}

// String describes the operation in one line.
func (o *Operation) String() string {
	text := fmt.Sprintf("#%d %s", o.ID, o.Action)
	if o.Path != "" {
		text += " " + o.Path
	}
	for _, part := range []struct {
		is   bool
		text string
	}{
		{o.Version != 0, fmt.Sprint(" version ", o.Version)}, {o.Data != "", " " + o.Data}, {o.Once != "", " once " + o.Once},
		{o.Conditional, fmt.Sprint(" ifMatch ", o.IfMatch)}, {o.Consistent, " consistent"}, {o.MinIndex != 0, fmt.Sprint(" minIndex ", o.MinIndex)},
	} {
		if part.is {
			text += part.text
		}
	}
	if o.Connection != "" {
		text += " by " + o.Connection
	}
	if o.Peer != "" {
		text += " at " + o.Peer
	}
	text += fmt.Sprintf(", called %v", o.Called.At)
	if o.Returned.Seq == 0 {
		return text + ", never answered"
	}
	return text + fmt.Sprintf(", answered %v: %s version %d etag %d index %d", o.Returned.At, o.Answer.Code, o.Answer.Version, o.Answer.ETag, o.Answer.Index)
}

// Life is one life of a session, as its client knows it.
type Life struct {
	Session string // its public id
	Began   Moment
	Leaving Moment // when its client first did what may end it: a close, or a Close frame on what may be its last connection
	Parting Moment // when its client first closed one of several connections on purpose
	Over    Moment // when its client knew that it had ended
	Alive   bool   // when all was quiet in the end, its client was still there
	Index   uint64 // at which the log ended it; 0: not known

	born Moment // when an item of it was first in the log
	end  End    // what the log says of its end, when Index is not 0
}

// String names the life.
func (l *Life) String() string { return fmt.Sprintf("session %s (begun %v)", l.Session, l.Began.At) }

// Watch is one watch of one connection: from its answer, or from the reset
// after the session resumed, until it is replaced or the connection is gone.
type Watch struct {
	Connection string
	Path       string
	Limit      int       // vera.NoLimit: all items
	Known      []Item    // what the client knew before, when the answer left the items out
	Answer     *Message  // nil: the session had the watch already
	Told       []Message // notifications, in order
	Live       bool      // in the end it was still there

	r *Recorder
}

// Peer is what one peer held when all was quiet.
type Peer struct {
	Name  string
	Index uint64              // that it had applied
	Lists map[string]Listed   // by their paths; those that are not empty, or all
	Holds map[string][]uint64 // by session: the versions of its items; nil: not known
}

// Listed is a list as a peer had it.
type Listed struct {
	ETag  uint64
	Items []Item
}

// Change is what the log did to a list.
type Change struct {
	Index uint64
	Path  string
	Items []Item // all
	Seen  Moment // when the first peer applied it
}

// LifeName is how the log names a life.
type LifeName struct {
	Session string
	Life    uint64 // index at which it began
}

// End is how the log ended a life.
type End struct {
	Index  uint64
	Reason vera.Reason
	Seen   Moment // when the first peer said so
}

// History is everything that was recorded.
type History struct {
	Operations  []*Operation
	Watches     []*Watch
	Lives       []*Life
	Connections []*Connection
	Troubles    []*Trouble
	Peers       []Peer
	// Log is every change of every list in the order of the log, when
	// Complete; or nothing.
	Log      []Change
	Complete bool
	// Ends is how the log ended a session's life; when Complete.
	Ends map[LifeName]End

	torn []Change // what another peer made of an entry
}

// Recorder makes a History. All methods may be called from any goroutine.
type Recorder struct {
	mu    sync.Mutex
	clock func() time.Duration // since the history began
	seq   int
	over  bool // nothing is recorded any more
	h     History
}

// NewRecorder begins a history.
func NewRecorder() *Recorder {
	began := time.Now()
	return &Recorder{h: History{Ends: map[LifeName]End{}}, clock: func() time.Duration { return time.Since(began) }}
}

// now is the next moment.
func (r *Recorder) now() Moment {
	r.seq++
	return Moment{r.seq, r.clock()}
}

// lock locks the recorder, unless nothing is recorded any more.
func (r *Recorder) lock() bool {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return false
	}
	return true
}

// Begin records a new life of a session.
func (r *Recorder) Begin(session string) *Life {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &Life{Session: session, Began: r.now()}
	if !r.over {
		r.h.Lives = append(r.h.Lives, l)
	}
	return l
}

// Leave records that from now on a life may end since its client wants it so.
func (r *Recorder) Leave(l *Life) { r.mark(&l.Leaving) }

// Part records that a client closes one of several connections on purpose: if it
// loses the others, the life may end as one that was closed.
func (r *Recorder) Part(l *Life) { r.mark(&l.Parting) }

// Over records that a client knows a life to be over.
func (r *Recorder) Over(l *Life) { r.mark(&l.Over) }

func (r *Recorder) mark(m *Moment) {
	if !r.lock() {
		return
	}
	defer r.mu.Unlock()
	if m.Seq == 0 {
		*m = r.now()
	}
}

// Alive records whether, when all is quiet, the client of a life is there.
func (r *Recorder) Alive(l *Life, alive bool) {
	if !r.lock() {
		return
	}
	defer r.mu.Unlock()
	l.Alive = alive
}

// Call records that a request is about to leave.
func (r *Recorder) Call(o Operation) *Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.ID, o.Called = len(r.h.Operations), r.now()
	if !r.over {
		r.h.Operations = append(r.h.Operations, &o)
	}
	return &o
}

// Return records an operation's answer.
func (r *Recorder) Return(o *Operation, answer Message) {
	if !r.lock() {
		return
	}
	defer r.mu.Unlock()
	o.Returned, o.Answer = r.now(), answer
}

// Watch records that a watch begins. It must be called before anything behind
// the answer is read.
func (r *Recorder) Watch(w Watch) *Watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.r, w.Live = r, true
	if !r.over {
		r.h.Watches = append(r.h.Watches, &w)
	}
	return &w
}

// Notified records what a watcher was told.
func (w *Watch) Notified(m Message) {
	if !w.r.lock() {
		return
	}
	defer w.r.mu.Unlock()
	m.Seen = w.r.now()
	w.Told = append(w.Told, m)
}

// End records that nothing more will be told.
func (w *Watch) End() {
	if !w.r.lock() {
		return
	}
	defer w.r.mu.Unlock()
	w.Live = false
}

// Logged records what a peer says that the log did to a list. Every peer may
// tell of every entry, in any order.
func (r *Recorder) Logged(c Change) {
	if !r.lock() {
		return
	}
	defer r.mu.Unlock()
	c.Seen = r.now()
	i, known := slices.BinarySearchFunc(r.h.Log, c, logOrder)
	if !known {
		r.h.Log = slices.Insert(r.h.Log, i, c)
	} else if !slices.EqualFunc(r.h.Log[i].Items, c.Items, same) {
		r.h.torn = append(r.h.torn, c)
	}
}

// Ended records that the log ended a life of a session. Every peer may tell of
// it.
func (r *Recorder) Ended(session string, life, index uint64, reason vera.Reason) {
	if !r.lock() {
		return
	}
	defer r.mu.Unlock()
	if name := (LifeName{session, life}); r.h.Ends[name].Index == 0 {
		r.h.Ends[name] = End{index, reason, r.now()}
	}
}

func logOrder(a, b Change) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), strings.Compare(a.Path, b.Path))
}

// Final records what a peer holds when all is quiet.
func (r *Recorder) Final(p Peer) {
	if !r.lock() {
		return
	}
	defer r.mu.Unlock()
	r.h.Peers = append(r.h.Peers, p)
}

// History returns what was recorded until now. complete says that Logged and
// Ended were told everything. What is recorded afterwards is dropped.
func (r *Recorder) History(complete bool) *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Complete, r.over = complete, true
	return &r.h
}
