package main

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"vera"
	"vera/actors"
	"vera/raft"
)

// inspector shows the operator the actors and what the log knows.
type inspector struct {
	actors *actors.System
	raft   *raft.Raft
}

// Actors tells of each kind.
func (i *inspector) Actors() any { return i.actors.Kinds() }

// TopActors tells of the actors with the deepest mailboxes.
func (i *inspector) TopActors(n int) any { return i.actors.Top(n) }

// ActorTree tells who supervises whom.
func (i *inspector) ActorTree() any { return i.actors.Tree() }

// Actor tells of one actor.
func (i *inspector) Actor(id string) (any, bool) {
	seen, err := i.actors.Actor(context.Background(), id)
	return seen, err == nil
}

// Trace yields what one actor handles, until ctx is done.
func (i *inspector) Trace(ctx context.Context, id string) iter.Seq[any] {
	return func(yield func(any) bool) {
		events, err := i.actors.Trace(ctx, id, 10_000)
		if err != nil {
			yield(map[string]string{"error": err.Error()})
			return
		}
		for _, e := range events {
			if !yield(e) {
				return
			}
		}
	}
}

// Sessions tells of at most n sessions, in the order of their ids.
func (i *inspector) Sessions(after vera.SessionID, n int) any {
	ids := []vera.SessionID{}
	for s := range i.raft.Machine().Sessions() {
		if id := s.ID(); bytes.Compare(id[:], after[:]) > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b vera.SessionID) int { return bytes.Compare(a[:], b[:]) })
	return i.actors.Sessions(n)
}

// Session tells of one session.
func (i *inspector) Session(id vera.SessionID) (any, bool) {
	seen, err := i.actors.SessionOf(context.Background(), id)
	return seen, err == nil
}

// EndSession ends a session for all its connections.
func (i *inspector) EndSession(ctx context.Context, id vera.SessionID) error {
	return i.actors.EndSession(ctx, id)
}
