package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"vera"
	"vera/client"
)

// getCommand reads a list once, by plain HTTP.
func getCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "get PATH", Short: "read a list", Args: arguments("PATH"), ValidArgsFunction: nothing}
	server := serverFlag(cmd.Flags())
	limit := cmd.Flags().Int("limit", -1, "the first n items only (1: the head); -1: all")
	consistent := cmd.Flags().Bool("consistent", false, "linearizable: the leader confirms it")
	asJSON := cmd.Flags().Bool("json", false, "print the answer as JSON, also on a terminal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var options []client.Option
		if *limit >= 0 {
			options = append(options, client.Limit(*limit))
		}
		if *consistent {
			options = append(options, client.Consistent())
		}
		read, err := readAny(cmd.Context(), *server, args[0], options)
		if err != nil {
			return advised(*server, err)
		}
		if *asJSON || !isTerminal(s.out) {
			return json.NewEncoder(s.out).Encode(answer{read.Index, read.ETag, read.Total, orEmpty(read.Items)})
		}
		return printList(s.out, read.Listing)
	}
	return cmd
}

// readAny reads a list from the first of the servers that answers.
func readAny(ctx context.Context, servers, path string, options []client.Option) (read client.Reading, err error) {
	for server := range strings.SplitSeq(servers, ",") {
		read, err = client.Get(ctx, nil, server, path, options...)
		if _, lost := errors.AsType[net.Error](err); !lost {
			break
		}
	}
	return read, err
}

// answer is a list as the command line prints it: as the wire has it, items always there.
type answer struct {
	Index uint64        `json:"index"`
	ETag  string        `json:"etag"`
	Total int           `json:"total,omitzero"`
	Items []client.Item `json:"items"`
}

func orEmpty(items []client.Item) []client.Item {
	if items == nil {
		return []client.Item{}
	}
	return items
}

// printList prints a list for people: a line an item, the head first.
func printList(out io.Writer, l client.Listing) error {
	if len(l.Items) == 0 {
		_, err := fmt.Fprintln(out, "(empty)")
		return err
	}
	for _, item := range l.Items {
		if _, err := fmt.Fprintf(out, "%-10d %-20s %s\n", item.Version, item.Owner, item.Data); err != nil {
			return err
		}
	}
	if l.Total > len(l.Items) {
		_, err := fmt.Fprintf(out, "… %d of %d\n", len(l.Items), l.Total)
		return err
	}
	return nil
}

// arguments wants exactly the arguments of these names, the first of them a
// path.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
		}
		limits := vera.DefaultLimits(0)
		if _, err := vera.ParsePath(args[0], &limits); err != nil {
			return usageError{err}
		}
		return nil
	}
}
