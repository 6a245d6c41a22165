package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"vera/client"
)

// watchCommand tells of every change of a list, one JSON line a notification,
// the first one with the list as it is.
func watchCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "watch PATH", Short: "tell of every change of a list", Long: "tell of every change of a list, a JSON line each", Args: arguments("PATH")}
	server := serverFlag(cmd.Flags())
	limit := cmd.Flags().Int("limit", -1, "watch the first n items only (1: the head); -1: all")
	changes := cmd.Flags().Bool("changes", false, "print only what changed, not the whole list")
	cmd.Flags().Bool("json", true, "JSON lines: what it always prints")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var options []client.Option
		if *limit >= 0 {
			options = append(options, client.Limit(*limit))
		}
		if *changes {
			options = append(options, client.NoItems())
		}
		c, err := dial(cmd.Context(), *server, client.Options{Local: true})
		if err != nil {
			return err
		}
		defer c.Close()
		w, list, err := c.Watch(cmd.Context(), args[0], options...)
		if err != nil {
			return err
		}
		out := json.NewEncoder(s.out)
		if err := out.Encode(answer{list.Index, list.ETag, list.Total, orEmpty(list.Items)}); err != nil {
			return err
		}
		for n, err := range w.All(cmd.Context()) {
			switch {
			case cmd.Context().Err() != nil:
				return nil
			case err != nil:
				return fmt.Errorf("the connection is lost: %w", err)
			}
			if err := out.Encode(n); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
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
