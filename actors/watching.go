package actors

import (
	"slices"
	"strings"

	"vera"
	"vera/raft/state"
)

// request does what a client asks of its session.
func (s *session) request(m *call) {
	if !slices.Contains(s.connections, m.from) {
		m.refuse(errEnded)
		return
	}
	switch m.request.Action {
	case vera.ActionPush, vera.ActionUpdate, vera.ActionRemove:
		s.write(m)
	case vera.ActionWatch:
		s.watch(m)
	case vera.ActionUnwatch:
		s.unwatch(m)
	case vera.ActionClose:
		s.close(m)
	default:
		s.tell(m)
	}
}

// write sends a command on, or keeps it until there is a life to name. What
// waits is bounded by what the connections may have under way; those that were
// given up in between go first.
func (s *session) write(m *call) {
	m.home = &m.from.box
	if s.life != 0 {
		m.life = s.life
		s.system.raft.box.lend(m)
		return
	}
	if len(s.waiting) == cap(s.waiting) {
		s.waiting = slices.DeleteFunc(s.waiting, func(m *call) bool { return m.stage.Load() == abandoned })
	}
	s.waiting = append(s.waiting, m)
	s.turn()
}

// close has the session end for all its connections.
func (s *session) close(m *call) {
	s.closing = append(s.closing, m)
	s.ending = true
	s.turn()
}

func (s *session) tell(m *call) {
	m.facts = &facts{life: s.life}
	for i := range s.watches {
		m.facts.watches = append(m.facts.watches, s.watches[i].Watched)
	}
	m.back()
}

// watched is a list that the session watches.
type watched struct {
	vera.Watched
	lasting  bool // it belongs into the log
	recorded bool // it is there, or on its way
	rooted   bool // one of this path is, with whatever options

	// Indexes by which the log tells which of two peers' changes is newer.
	known   uint64 // applied here when the client asked
	arrival uint64 // applied here when its connection was let in; of several the newest
}

// asks is how new a change is that a client asks for.
func (s *session) asks(m *call, path vera.Path) watched {
	return watched{Watched: vera.Watched{Path: path}, known: s.system.log.Machine().Applied(), arrival: m.from.arrived}
}

// place is where the watch of a path stands, or would.
func (s *session) place(path vera.Path) (int, bool) {
	return slices.BinarySearchFunc(s.watches, path, func(w watched, path vera.Path) int {
		return strings.Compare(string(w.Path), string(path))
	})
}

// watch begins at once on all connections that want to hear, and is recorded
// behind that.
func (s *session) watch(m *call) {
	r := &m.request
	want := s.asks(m, r.Path)
	want.Limit, want.Items = r.Limit, r.Items
	want.lasting = s.life != 0 || !m.from.hello.Local
	place, found := s.place(r.Path)
	same := false
	switch limit := s.system.limits.SessionWatches; {
	case found:
		old := s.watches[place]
		same = old.Watched == want.Watched
		want.recorded = same && old.recorded && want.arrival <= old.arrival && s.recording == 0
		want.lasting, want.rooted = want.lasting || old.lasting, old.rooted
		want.arrival = max(want.arrival, old.arrival)
		want.Path = old.Path
		s.watches[place] = want
	case len(s.watches) >= limit:
		m.refuse(vera.Errorf(vera.TooManyRequests, "watch: the session has %d watches; the limit is %d", limit, limit))
		return
	default:
		s.watches = slices.Insert(s.watches, place, want)
	}
	for _, c := range s.connections {
		if c == m.from {
			s.begin(c, want.Watched, m)
		} else if !same {
			s.begin(c, want.Watched, nil)
		}
	}
	s.worry()
	s.record(false)
	s.turn()
}

// begin has a connection watch, if it wants to hear at all.
func (s *session) begin(c *connection, w vera.Watched, m *call) {
	switch {
	case !c.hello.Quiet:
		c.box.post(&begin{watch: w, call: m})
	case m != nil:
		m.back()
	}
}

// unwatch ends a watch on all connections. The log is told of it also when it
// has no such watch, if one may be on its way there from another peer.
func (s *session) unwatch(m *call) {
	gone := s.asks(m, m.request.Path)
	gone.lasting = s.life != 0 || !m.from.hello.Local
	if place, found := s.place(gone.Path); found {
		gone.rooted = s.watches[place].rooted
		gone.arrival = max(gone.arrival, s.watches[place].arrival)
		s.watches = slices.Delete(s.watches, place, place+1)
	}
	s.forsake(gone)
	for _, c := range s.connections {
		if c == m.from {
			c.box.post(&finish{path: m.request.Path, call: m})
		} else {
			c.box.post(&finish{path: m.request.Path})
		}
	}
	s.record(false)
}

// forsake keeps what is to be recorded of a watch that ended. What the log may
// not even have is kept of so many lists as may be watched.
func (s *session) forsake(gone watched) {
	i := slices.IndexFunc(s.gone, func(g watched) bool { return g.Path == gone.Path })
	switch {
	case i >= 0:
		gone.arrival = max(gone.arrival, s.gone[i].arrival)
		s.gone[i] = gone
	case gone.rooted, gone.lasting && gone.arrival > 0 && len(s.gone) < s.system.limits.SessionWatches:
		gone.Path = vera.Path(strings.Clone(string(gone.Path)))
		s.gone = append(s.gone, gone)
	}
}

// unrecorded says whether a watch waits for a life to be recorded in.
func (s *session) unrecorded() bool {
	return slices.ContainsFunc(s.watches, func(w watched) bool { return w.lasting && !w.recorded })
}

// remember is called when the session has a life. All its watches belong into
// the log from now on. If it lived before, what it watched then begins again.
func (s *session) remember(lived bool) {
	for i := range s.watches {
		s.watches[i].lasting = true
	}
	living := s.system.log.Machine().Session(s.id)
	if lived && living != nil && living.Life() == s.life {
		for _, w := range living.Watches() {
			if !slices.ContainsFunc(s.gone, func(gone watched) bool { return gone.Path == w.Path }) {
				s.recall(s.logged(living, w))
			}
		}
	}
	s.record(false)
}

// logged is a watch as the log has it.
func (s *session) logged(living *state.Session, w vera.Watched) watched {
	return watched{
		Watched: w, lasting: true, recorded: true, rooted: true,
		known: s.system.log.Machine().Applied(), arrival: living.WatchChanged(w.Path),
	}
}

// recall begins a watch that the log has. What was asked for here since is
// newer, and stays, unless the log says otherwise.
func (s *session) recall(w watched) {
	place, found := s.place(w.Path)
	if found {
		mine := &s.watches[place]
		mine.recorded = mine.Watched == w.Watched && mine.arrival <= w.arrival
		return
	}
	s.watches = slices.Insert(s.watches, place, w)
	for _, c := range s.connections {
		s.begin(c, w.Watched, nil)
	}
}

// record brings the log's record of the watches up to date. One round at a
// time is under way, so that a client which changes its mind fast does not
// fill the log; all of it goes now if the session is about to leave.
func (s *session) record(now bool) {
	if s.life == 0 || s.recording > 0 && !now {
		return
	}
	for _, w := range s.gone {
		if place, again := s.place(w.Path); again {
			s.watches[place].arrival = max(s.watches[place].arrival, w.arrival)
		} else {
			s.note(state.Command{Kind: state.Unwatch, Path: w.Path, Known: w.known, Arrival: w.arrival})
		}
	}
	s.gone = nil
	for i := range s.watches {
		if w := &s.watches[i]; w.lasting && !w.recorded {
			w.recorded, w.rooted = true, true
			s.note(state.Command{
				Kind: state.Watch, Path: w.Path, Limit: w.Limit, Items: w.Items, SessionWatches: s.system.limits.SessionWatches,
				Known: w.known, Arrival: w.arrival,
			})
		}
	}
}

func (s *session) note(c state.Command) {
	c.Session, c.Life = s.id, s.life
	m := &step{what: c}
	m.home = &s.box
	s.recording++
	s.system.raft.box.lend(m)
}

func (s *session) recorded(m *step) {
	s.recording = max(0, s.recording-1)
	if s.recording == 0 {
		s.record(false)
	}
	if s.stale {
		s.adopt()
	}
}

// adopt makes the watches what the log says, since another peer changed them.
// What was changed here meanwhile goes there first: so the log has the last
// word, and all peers agree in the end.
func (s *session) adopt() {
	s.stale = s.recording > 0
	living := s.system.log.Machine().Session(s.id)
	if s.stale || living == nil || living.Life() != s.life {
		return
	}
	for i := len(s.watches) - 1; i >= 0; i-- {
		w := s.watches[i]
		now, found := slices.BinarySearchFunc(living.Watches(), w.Path, func(w vera.Watched, path vera.Path) int {
			return strings.Compare(string(w.Path), string(path))
		})
		switch {
		case !w.recorded || found && living.Watches()[now] == w.Watched:
		case found:
			s.watches[i] = s.logged(living, living.Watches()[now])
			for _, c := range s.connections {
				s.begin(c, s.watches[i].Watched, nil)
			}
		default:
			s.watches = slices.Delete(s.watches, i, i+1)
			for _, c := range s.connections {
				c.box.post(&finish{path: w.Path})
			}
		}
	}
	for _, w := range living.Watches() {
		s.recall(s.logged(living, w))
	}
}
