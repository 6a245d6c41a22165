package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/spf13/cobra"

	"vera"
	"vera/client"
)

// watchCommand tells of every change of a list, one JSON line a notification,
// the first one with the list as it is. It goes on at another peer when its own
// is lost.
func watchCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "watch PATH", Short: "tell of every change of a list", Long: "tell of every change of a list, a JSON line each", Args: arguments("PATH")}
	server := serverFlag(cmd.Flags())
	limit := cmd.Flags().Int("limit", -1, "watch the first n items only (1: the head); -1: all")
	changes := cmd.Flags().Bool("changes", false, "print only what changed, not the whole list")
	cmd.Flags().Bool("json", true, "JSON lines: what it always prints")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		w := &watching{roaming: roaming{server: *server, options: client.Options{Local: true}}, path: args[0], out: json.NewEncoder(s.out)}
		if *limit >= 0 {
			w.wishes = append(w.wishes, client.Limit(*limit))
		}
		if *changes {
			w.wishes = append(w.wishes, client.NoItems())
		}
		ctx := cmd.Context()
		if err := w.begin(ctx); err != nil {
			return advised(*server, err)
		}
		list, err := w.watch(ctx)
		if err == nil {
			err = w.out.Encode(answer{list.Index, list.ETag, list.Total, orEmpty(list.Items)})
		}
		for err == nil {
			err = w.follow(ctx)
		}
		_ = w.connection.Close()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return cmd
}

// watching is a list that is watched wherever a peer lives.
type watching struct {
	roaming
	path   string
	wishes []client.Option
	out    *json.Encoder
	last   uint64 // index of what was told last
	told   *client.Watch
}

// watch begins to watch at the peer that it is connected to.
func (w *watching) watch(ctx context.Context) (list client.Listing, err error) {
	w.told, list, err = w.connection.Watch(ctx, w.path, append(slices.Clone(w.wishes), client.Since(w.last))...)
	if err == nil {
		w.last = list.Index
	}
	return list, err
}

// follow prints what is told until the connection is lost, and watches anew,
// here or at another peer. If the list has changed meanwhile, all of it is
// printed as a reset.
func (w *watching) follow(ctx context.Context) error {
	for n, lost := range w.told.All(ctx) {
		if lost != nil {
			break
		}
		w.last = n.Index
		if err := w.out.Encode(n); err != nil {
			return err
		}
	}
	for {
		_ = w.connection.Close() // if it is not lost
		if err := w.again(ctx); err != nil {
			return fmt.Errorf("the connection is lost: %w", err)
		}
		list, err := w.watch(ctx)
		if refused, is := errors.AsType[*vera.Error](err); w.connection.Err() != nil || is && refused.Code == vera.Unavailable {
			continue // lost once more, or not that far yet
		}
		if err == nil && list.Items != nil {
			err = w.out.Encode(client.Notification{Action: vera.ActionNotify, Path: w.path, Index: list.Index, ETag: list.ETag, Reset: true, Items: list.Items})
		}
		return err
	}
}

// reached says whether a server answered at all, if only to refuse.
func reached(err error) bool {
	var refused *client.Refused
	var closed *client.Closed
	var network net.Error
	switch {
	case errors.As(err, &refused), errors.As(err, &closed):
		return true
	default:
		return !errors.As(err, &network)
	}
}
