package state

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"vera"
)

// Session is one session as it was after some entry. It is immutable and may
// be kept.
type Session struct {
	facts *facts
	items sequence[holding]
	once  *sequence[use] // the pushes with a key; nil when there were none
}

// facts is what changes seldom in a session.
type facts struct {
	id          vera.SessionID
	life        uint64
	since       uint64        // index of the open doubt; 0 when there is none
	doubt       time.Duration // for how long it is held; more than 0 when since is not 0
	attachments []Attachment  // in the order of their peers
	watches     []vera.Watched
	orders      []order // in the order of the paths, of those watched and some that are no more
	edition     uint64  // index of the entry that made this copy, which may write it until it is published
}

// Attachment says that a session has a client on a peer.
type Attachment struct {
	Peer        PeerID
	Incarnation uint64
	Grace       time.Duration // how long the session outlives the loss of it
}

// holding is an item from its session's side.
type holding vera.Held

func (h holding) version() uint64 { return h.Version }

// use is a push that had a key.
type use struct {
	key  string
	push uint64 // its version
	sum  uint64 // hash of path and data
}

func (u use) version() uint64 { return u.push }

// ID is the session's name.
func (s *Session) ID() vera.SessionID { return s.facts.id }

// Life is the index of its opening.
func (s *Session) Life() uint64 { return s.facts.life }

// Since is the index since which a client is missed, 0 when none is. The
// session may be attached all the same.
func (s *Session) Since() uint64 { return s.facts.since }

// Doubt is how long the missed client is waited for; 0 when none is missed.
func (s *Session) Doubt() time.Duration { return s.facts.doubt }

// Grace is how long the session outlives the loss of all its clients: the
// largest of its attachments' graces and of an open doubt.
func (s *Session) Grace() time.Duration {
	grace := s.facts.doubt
	for _, a := range s.facts.attachments {
		grace = max(grace, a.Grace)
	}
	return grace
}

// Attachments says on which peers it has clients, in the order of their ids.
// It must not be changed.
func (s *Session) Attachments() []Attachment { return s.facts.attachments }

// Watches is what it watches, in the order of the paths. It must not be changed.
func (s *Session) Watches() []vera.Watched { return s.facts.watches }

// WatchChanged is the newest arrival that the watch of a path was changed on,
// as Command has it; 0 when there is none to compare with.
func (s *Session) WatchChanged(p vera.Path) uint64 { return s.facts.changed(p) }

// ItemCount is how many items it holds.
func (s *Session) ItemCount() int { return s.items.n }

// Items walks what it holds, in the order of the versions.
func (s *Session) Items() iter.Seq[vera.Held] {
	return func(yield func(vera.Held) bool) {
		s.items.each(-1, func(h holding) bool { return yield(vera.Held(h)) })
	}
}

// session is where readers find the newest state of one session's life, and
// what only the applying goroutine knows of it.
type session struct {
	cur  atomic.Pointer[Session] // nil until the entry that opened it is published
	next *Session                // as the entry under way makes it; nil: untouched by it
	over bool                    // the entry under way ended it

	seen  map[string]use // the remembered uses by their keys
	owner string         // the last owner, to be shared by the items
}

// newest is the session as commands see it.
func (s *session) newest() *Session {
	if s.next != nil {
		return s.next
	}
	return s.cur.Load()
}

// draft returns the session to be changed by the entry under way.
func (w *world) draft(s *session) *Session {
	if s.next == nil {
		copied := *s.cur.Load()
		s.next = &copied
		w.edited = append(w.edited, s)
	}
	return s.next
}

// draftFacts is draft for a change of the facts.
func (w *world) draftFacts(s *session) *facts {
	d := w.draft(s)
	if d.facts.edition != w.index {
		copied := *d.facts
		copied.attachments = slices.Clone(copied.attachments)
		copied.watches = slices.Clone(copied.watches)
		copied.orders = slices.Clone(copied.orders)
		copied.edition = w.index
		d.facts = &copied
	}
	return d.facts
}

// ownerOf returns the owner's name without the entry that it came in, the same
// string as long as it stays the same.
func (s *session) ownerOf(name string) string {
	if s.owner != name {
		s.owner = strings.Clone(name)
	}
	return s.owner
}

func (f *facts) attachment(p PeerID) (place int, found bool) {
	return slices.BinarySearchFunc(f.attachments, p, func(a Attachment, p PeerID) int {
		return cmp.Compare(a.Peer, p)
	})
}

func (f *facts) watch(p vera.Path) (place int, found bool) {
	return slices.BinarySearchFunc(f.watches, p, func(w vera.Watched, p vera.Path) int {
		return strings.Compare(string(w.Path), string(p))
	})
}
