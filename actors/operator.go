package actors

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"vera"
	"vera/raft/state"
)

// Session is a session as an operator sees it.
type Session struct {
	ID      string `json:"id"`
	Life    uint64 `json:"life"` // index of its opening; 0: the log does not know it
	GraceMs int64  `json:"graceMs"`
	Items   int    `json:"items"`
	Watches int    `json:"watches"`
	Peers   int    `json:"peers"`           // on which it has connections
	Since   uint64 `json:"since,omitempty"` // index since which a client is missed; 0: none is

	// Only when one session is asked for.
	Holds   []Holding  `json:"holds,omitempty"`
	Follows []Watching `json:"follows,omitempty"`
	Here    any        `json:"here,omitempty"` // its actor's state on this peer
}

// Holding is an item of a session.
type Holding struct {
	Path    vera.Path `json:"path"`
	Version uint64    `json:"version"`
}

// Watching is a watch of a session.
type Watching struct {
	Path  vera.Path `json:"path"`
	Limit int       `json:"limit"` // -1: none
	Items bool      `json:"items"`
}

func seenSession(s *state.Session) Session {
	return Session{
		ID: s.ID().String(), Life: s.Life(), Items: s.ItemCount(), Watches: len(s.Watches()),
		GraceMs: s.Grace().Milliseconds(), Peers: len(s.Attachments()), Since: s.Since(),
	}
}

// Sessions returns the first n sessions that the log has, by their ids.
func (y *System) Sessions(n int) []Session { return y.SessionsAfter(vera.SessionID{}, n) }

// SessionsAfter returns up to n sessions that the log has and whose ids are
// behind one, in the order of the ids.
func (y *System) SessionsAfter(after vera.SessionID, n int) []Session {
	var first []*state.Session
	order := func(a, b *state.Session) int { return compareIDs(a.ID(), b.ID()) }
	for s := range y.log.Machine().Sessions() {
		if compareIDs(s.ID(), after) <= 0 || len(first) == n && n > 0 && order(s, first[n-1]) >= 0 {
			continue
		}
		place, _ := slices.BinarySearchFunc(first, s, order)
		if first = slices.Insert(first, place, s); len(first) > n {
			first = first[:n]
		}
	}
	all := make([]Session, 0, len(first))
	for _, s := range first {
		all = append(all, seenSession(s))
	}
	return all
}

func compareIDs(a, b vera.SessionID) int { return bytes.Compare(a[:], b[:]) }

var errNoSession = vera.Errorf(vera.NotFound, "id: no such session lives")

// SessionOf returns one session with what it holds, and its actor's state if
// it is connected here.
func (y *System) SessionOf(ctx context.Context, id vera.SessionID) (Session, error) {
	seen, known := Session{ID: id.String()}, false
	if living := y.log.Machine().Session(id); living != nil {
		seen, known = seenSession(living), true
		for _, h := range held(living) {
			seen.Holds = append(seen.Holds, Holding(h))
		}
		for _, w := range living.Watches() {
			seen.Follows = append(seen.Follows, Watching(w))
		}
	}
	var box *mailbox
	y.kinds.session.each(func(b *mailbox) {
		if b.who.(*session).id == id {
			box = b
		}
	})
	if box == nil && !known {
		return seen, errNoSession
	}
	if box != nil {
		here, err := box.ask(ctx)
		if err != nil {
			return seen, err
		}
		seen.Here = here
	}
	return seen, nil
}

// EndSession ends a session for all its connections, everywhere, and returns
// when this peer has applied that.
func (y *System) EndSession(ctx context.Context, id vera.SessionID) error {
	living := y.log.Machine().Session(id)
	if living == nil {
		return errNoSession
	}
	word := make(chan error, 1)
	end := state.Command{Kind: state.End, Session: id, Life: living.Life(), Reason: vera.Ended}
	y.log.Propose([]state.Command{end}, func(replies []state.Reply, err error) {
		if err == nil && replies[0].Code != vera.OK {
			err = errors.New(replies[0].Message)
		}
		word <- err
	})
	err := y.await(ctx, word)
	if refused, ok := errors.AsType[*vera.Error](err); ok && refused.Code == vera.Unavailable {
		return &vera.Error{Code: refused.Code, Message: refused.Message, Applied: vera.AppliedUnknown} // it is on its way
	}
	return err
}
