package main

import (
	"context"
	"errors"
	"io"

	"vera"
	"vera/raft"
)

// steward changes the cluster for the operator.
type steward struct{ raft *raft.Raft }

// Remove takes a peer out of the cluster, for good.
func (s *steward) Remove(ctx context.Context, name string) error {
	return refused(s.raft.Remove(ctx, name))
}

// Promote gives an observer a vote.
func (s *steward) Promote(ctx context.Context, name string) error {
	return refused(s.raft.Promote(ctx, name))
}

// Transfer has a peer lead.
func (s *steward) Transfer(ctx context.Context, name string) error {
	return refused(s.raft.Transfer(ctx, name))
}

// Save writes the state of the cluster.
func (s *steward) Save(ctx context.Context, w io.Writer) error { return s.raft.Save(ctx, w) }

// refused makes an error one for the operator: what came in time, and is no
// refusal of the protocol, says why the cluster stays as it is.
func refused(err error) error {
	if _, is := errors.AsType[*vera.Error](err); is || err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return vera.Errorf(vera.InvalidParameter, "%v", err)
}
