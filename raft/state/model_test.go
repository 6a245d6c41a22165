package state

import (
	"bytes"
	"slices"
	"time"

	"vera"
)

// model is the machine once more, written as plainly as possible: slices that
// are searched from the front and copied whole. It shares no code with the
// machine, only the types of commands.
type model struct {
	index    uint64
	lists    map[vera.Path]*mList
	sessions []*mSession
	peers    []*mPeer
}

type mList struct {
	changed uint64
	items   []mItem
}

type mItem struct {
	version, updated uint64
	session          vera.SessionID
	life             uint64
	owner, data      string
}

type mSession struct {
	id          vera.SessionID
	life, since uint64
	doubt       time.Duration
	attached    []Attachment
	watches     []vera.Watched
	arrivals    map[vera.Path]uint64 // on which a path's watch was changed; the newest
	uses        []mUse
}

type mUse struct {
	key, path, data string
	version         uint64
}

type mPeer struct {
	id                PeerID
	incarnation, last uint64
	gone              bool
}

// mOutput is what the model says of one entry.
type mOutput struct {
	skipped  bool
	replies  []mReply
	late     int // changes of watches that came too late
	sessions []SessionChange
	before   map[vera.Path]mList // of the lists that changed
	gone     map[uint64]vera.Reason
}

type mReply struct {
	code          vera.Code
	version, life uint64
	resumed       bool
	list          *mList
}

func newModel() *model { return &model{lists: map[vera.Path]*mList{}} }

func (m *model) list(p vera.Path) *mList {
	if l := m.lists[p]; l != nil {
		return l
	}
	return &mList{}
}

func (l *mList) etag() uint64 {
	if len(l.items) == 0 {
		return 0
	}
	return l.changed
}

// touch notes a list's state before its first change by this entry.
func (m *model) touch(o *mOutput, p vera.Path) *mList {
	l := m.list(p)
	if _, already := o.before[p]; !already {
		o.before[p] = mList{l.changed, slices.Clone(l.items)}
	}
	m.lists[p] = l
	l.changed = m.index
	return l
}

func (m *model) apply(index uint64, b Batch) mOutput {
	m.index = index
	o := mOutput{before: map[vera.Path]mList{}, gone: map[uint64]vera.Reason{}}
	if !m.accepts(b) {
		o.skipped = true
		return o
	}
	for _, c := range b.Commands {
		o.replies = append(o.replies, m.obey(&o, b, c))
	}
	return o
}

func (m *model) peer(id PeerID) *mPeer {
	for _, p := range m.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (m *model) accepts(b Batch) bool {
	if b.First == 0 {
		return true
	}
	p := m.peer(b.Peer)
	if b.First == 1 {
		if p != nil && b.Incarnation <= p.incarnation {
			return false
		}
		if p == nil {
			p = &mPeer{id: b.Peer}
			m.peers = append(m.peers, p)
			slices.SortFunc(m.peers, func(a, b *mPeer) int {
				if a.id < b.id {
					return -1
				}
				return 1
			})
		}
		p.incarnation, p.last, p.gone = b.Incarnation, uint64(len(b.Commands)), false
		return true
	}
	if p == nil || p.gone || p.incarnation != b.Incarnation || b.First != p.last+1 {
		return false
	}
	p.last += uint64(len(b.Commands))
	return true
}

func (m *model) obey(o *mOutput, b Batch, c Command) mReply {
	switch c.Kind {
	case PeerUp:
		m.lose(o, b.Peer, c.Grace)
		return mReply{code: vera.OK}
	case PeerGone:
		if p := m.peer(c.Peer); p != nil && !p.gone && p.incarnation == c.Incarnation {
			p.gone = true
			m.lose(o, c.Peer, c.Grace)
		}
		return mReply{code: vera.OK}
	case Open:
		return m.open(o, b, c)
	}
	if c.Kind >= 128 {
		return mReply{code: vera.InternalError}
	}
	s := m.session(c.Session)
	if s == nil || s.life != c.Life || s.life == m.index {
		return mReply{code: vera.SessionEnded}
	}
	switch c.Kind {
	case Push, Update, Remove:
		r := m.item(o, s, c)
		l := m.list(c.Path)
		r.list = &mList{l.changed, slices.Clone(l.items)}
		return r
	case Attach:
		return m.attach(o, b, s, c.Grace)
	case Detach:
		for _, a := range s.attached {
			if a.Peer == b.Peer {
				m.part(o, s, b.Peer, max(c.Grace, a.Grace), c.Clean)
				break
			}
		}
	case Watch, Unwatch:
		return mReply{code: s.rewatch(o, b, c)}
	case End:
		m.finish(o, s, c.Reason)
	case Expire:
		if s.since != 0 && s.since == c.Since {
			if len(s.attached) == 0 {
				m.finish(o, s, vera.Expired)
			} else {
				s.since, s.doubt = 0, 0
			}
		}
	}
	return mReply{code: vera.OK}
}

func (m *model) session(id vera.SessionID) *mSession {
	for _, s := range m.sessions {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (s *mSession) rewatch(o *mOutput, b Batch, c Command) (code vera.Code) {
	if c.Known < s.arrivals[c.Path] {
		o.late++
		o.sessions = append(o.sessions, SessionChange{Session: s.id, Life: s.life, What: Rewatched})
		return vera.OK
	}
	before := slices.Clone(s.watches)
	if c.Kind == Watch {
		code = s.watch(c)
	} else {
		s.watches = slices.DeleteFunc(s.watches, func(w vera.Watched) bool { return w.Path == c.Path })
		code = vera.OK
	}
	if code == vera.OK && c.Arrival > s.arrivals[c.Path] {
		s.arrivals[c.Path] = c.Arrival
	}
	elsewhere := slices.ContainsFunc(s.attached, func(a Attachment) bool { return a.Peer != b.Peer })
	if elsewhere && !slices.Equal(before, s.watches) {
		o.sessions = append(o.sessions, SessionChange{Session: s.id, Life: s.life, What: Rewatched})
	}
	return code
}

func (s *mSession) watch(c Command) vera.Code {
	w := vera.Watched{Path: c.Path, Limit: c.Limit, Items: c.Items}
	for i := range s.watches {
		if s.watches[i].Path == c.Path {
			s.watches[i] = w
			return vera.OK
		}
	}
	if len(s.watches) >= c.SessionWatches {
		return vera.TooManyRequests
	}
	s.watches = append(s.watches, w)
	slices.SortFunc(s.watches, func(a, b vera.Watched) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return vera.OK
}

func (m *model) item(o *mOutput, s *mSession, c Command) mReply {
	l := m.list(c.Path)
	if c.Kind == Push && c.Once != "" {
		for _, u := range s.uses {
			if u.key == c.Once && (u.path != string(c.Path) || u.data != string(c.Data)) {
				return mReply{code: vera.InvalidParameter}
			}
			if u.key == c.Once {
				return mReply{code: vera.OK, version: u.version}
			}
		}
	}
	place := slices.IndexFunc(l.items, func(it mItem) bool { return it.version == c.Version })
	switch {
	case c.Kind == Update && place < 0:
		return mReply{code: vera.NotFound}
	case c.Kind == Remove && place < 0:
		return mReply{code: vera.OK}
	case c.Kind != Push && l.items[place].session != s.id:
		return mReply{code: vera.Forbidden}
	case c.Conditional && c.IfMatch != l.etag():
		return mReply{code: vera.PreconditionFailed}
	}
	switch c.Kind {
	case Update:
		l = m.touch(o, c.Path)
		l.items[place].data, l.items[place].updated = string(c.Data), m.index
		return mReply{code: vera.OK}
	case Remove:
		l = m.touch(o, c.Path)
		l.items = slices.Delete(slices.Clone(l.items), place, place+1)
		o.gone[c.Version] = vera.Removed
		return mReply{code: vera.OK}
	}
	return m.push(o, s, c)
}

func (m *model) held(s *mSession) (all []vera.Held) {
	for path, l := range m.lists {
		for _, it := range l.items {
			if it.session == s.id {
				all = append(all, vera.Held{Path: path, Version: it.version})
			}
		}
	}
	slices.SortFunc(all, func(a, b vera.Held) int { return int(a.Version) - int(b.Version) })
	return all
}

func (m *model) push(o *mOutput, s *mSession, c Command) mReply {
	if len(m.held(s)) >= c.SessionItems || len(m.list(c.Path).items) >= c.ListItems {
		return mReply{code: vera.TooManyRequests}
	}
	l := m.touch(o, c.Path)
	l.items = append(slices.Clone(l.items), mItem{m.index, 0, s.id, s.life, c.Owner, string(c.Data)})
	if c.Once != "" {
		s.uses = append(s.uses, mUse{c.Once, string(c.Path), string(c.Data), m.index})
		if len(s.uses) > 1024 {
			s.uses = s.uses[1:]
		}
	}
	return mReply{code: vera.OK, version: m.index}
}

func (m *model) open(o *mOutput, b Batch, c Command) mReply {
	if s := m.session(c.Session); s != nil {
		return m.attach(o, b, s, c.Grace)
	}
	s := &mSession{id: c.Session, life: m.index, arrivals: map[vera.Path]uint64{}, attached: []Attachment{{b.Peer, b.Incarnation, c.Grace}}}
	m.sessions = append(m.sessions, s)
	o.sessions = append(o.sessions, SessionChange{Session: s.id, Life: s.life, What: Opened, Grace: c.Grace})
	return mReply{code: vera.OK, life: s.life}
}

func (m *model) attach(o *mOutput, b Batch, s *mSession, grace time.Duration) mReply {
	longest := grace
	for _, a := range s.attached {
		if a.Peer == b.Peer {
			longest = max(longest, a.Grace)
		}
	}
	s.attached = slices.DeleteFunc(s.attached, func(a Attachment) bool { return a.Peer == b.Peer })
	s.attached = append(s.attached, Attachment{b.Peer, b.Incarnation, longest})
	o.sessions = append(o.sessions, SessionChange{Session: s.id, Life: s.life, What: Attached, Grace: grace})
	return mReply{code: vera.OK, life: s.life, resumed: true}
}

// lose detaches a peer's sessions, the oldest lives first and of those of one
// entry the smallest ids first.
func (m *model) lose(o *mOutput, id PeerID, least time.Duration) {
	order := slices.Clone(m.sessions)
	slices.SortFunc(order, func(a, b *mSession) int {
		if a.life != b.life {
			return int(a.life) - int(b.life)
		}
		return bytes.Compare(a.id[:], b.id[:])
	})
	for _, s := range order {
		for _, a := range s.attached {
			if a.Peer == id {
				m.part(o, s, id, max(least, a.Grace), false)
				break
			}
		}
	}
}

func (m *model) part(o *mOutput, s *mSession, id PeerID, grace time.Duration, clean bool) {
	s.attached = slices.DeleteFunc(s.attached, func(a Attachment) bool { return a.Peer == id })
	if clean && len(s.attached) > 0 {
		for i := range s.attached {
			s.attached[i].Grace = max(s.attached[i].Grace, grace)
		}
		return
	}
	if clean && s.since == 0 {
		m.finish(o, s, vera.Closed)
		return
	}
	longest := max(s.doubt, grace)
	if longest == 0 {
		if len(s.attached) == 0 {
			m.finish(o, s, vera.Expired)
		}
		return
	}
	s.since, s.doubt = m.index, longest
	o.sessions = append(o.sessions, SessionChange{Session: s.id, Life: s.life, What: Detached, Since: s.since, Grace: longest})
}

func (m *model) finish(o *mOutput, s *mSession, reason vera.Reason) {
	for _, h := range m.held(s) {
		l := m.touch(o, h.Path)
		l.items = slices.DeleteFunc(slices.Clone(l.items), func(it mItem) bool { return it.version == h.Version })
		o.gone[h.Version] = reason
	}
	m.sessions = slices.DeleteFunc(m.sessions, func(other *mSession) bool { return other == s })
	o.sessions = append(o.sessions, SessionChange{Session: s.id, Life: s.life, What: Over, Reason: reason})
}
