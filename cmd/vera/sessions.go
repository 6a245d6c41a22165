package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vera/client"
)

const (
	sessionsAPage   = 1000     // as many as the admin listener gives at once
	mostCompletions = 200      // of ids, for a shell
	largestPage     = 64 << 20 // of a page of sessions, or of one session, in bytes
)

// seen is a session as the admin listener tells of it.
type seen struct {
	ID      string          `json:"id"`
	Life    uint64          `json:"life"`
	GraceMs int64           `json:"graceMs"`
	Items   int             `json:"items"`
	Watches int             `json:"watches"`
	Peers   int             `json:"peers"`
	Since   uint64          `json:"since,omitzero"`
	Holds   []client.Held   `json:"holds,omitzero"`
	Follows []seenWatch     `json:"follows,omitzero"`
	Here    json.RawMessage `json:"here,omitzero"`
}

type seenWatch struct {
	Path  string `json:"path"`
	Limit int    `json:"limit"`
	Items bool   `json:"items"`
}

// sessionsCommand shows who holds what, and ends a session.
func sessionsCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "sessions", Short: "show who holds what, or end it", Args: noArguments}
	o := operatorFlags(cmd.PersistentFlags())
	asJSON := cmd.PersistentFlags().Bool("json", false, "print JSON, also on a terminal")
	forMachines := func() bool { return *asJSON || !isTerminal(s.out) }
	list := func(cmd *cobra.Command, _ []string) error {
		return listSessions(s.out, o.sessions(cmd.Context(), sessionsAPage), forMachines())
	}
	cmd.RunE = list
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "show all sessions, in the order of their ids", Args: noArguments, RunE: list})

	show := &cobra.Command{Use: "show ID", Short: "show what a session holds and watches", Args: oneSession, ValidArgsFunction: o.completeSession}
	show.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := o.read(cmd.Context(), "/sessions/"+url.PathEscape(args[0]))
		if err != nil {
			return err
		}
		if forMachines() {
			_, err = fmt.Fprintf(s.out, "%s\n", text)
			return err
		}
		return printSession(s.out, text)
	}
	end := &cobra.Command{Use: "end ID", Short: "end a session: its items go, its client is told", Args: oneSession, ValidArgsFunction: o.completeSession}
	end.RunE = func(cmd *cobra.Command, args []string) error {
		response, err := o.ask(cmd.Context(), http.MethodPost, "/sessions/"+url.PathEscape(args[0])+"/end")
		if err != nil {
			return err
		}
		_ = response.Body.Close() // it says OK
		if forMachines() {
			return json.NewEncoder(s.out).Encode(map[string]string{"end": args[0]})
		}
		_, err = fmt.Fprintf(s.out, "%s is ended.\n", args[0])
		return err
	}
	cmd.AddCommand(show, end)
	return cmd
}

// oneSession wants the id of a session and nothing else.
func oneSession(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageError{fmt.Errorf("usage: %s; ids are those of: vera sessions", cmd.UseLine())}
	}
	return nil
}

// read reads a page of the admin listener, a line of JSON.
func (o *operator) read(ctx context.Context, path string) (json.RawMessage, error) {
	response, err := o.ask(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var text json.RawMessage
	if err := json.NewDecoder(io.LimitReader(response.Body, largestPage)).Decode(&text); err != nil {
		return nil, fmt.Errorf("%s: %w: is it a peer's admin listener?", o.server, err)
	}
	return text, nil
}

// sessions yields all sessions, in the order of their ids, a page at a time.
func (o *operator) sessions(ctx context.Context, aPage int) iter.Seq2[seen, error] {
	return func(yield func(seen, error) bool) {
		query := url.Values{"limit": {strconv.Itoa(aPage)}}
		for {
			text, err := o.read(ctx, "/sessions?"+query.Encode())
			var page []seen
			if err == nil {
				err = json.Unmarshal(text, &page)
			}
			if err != nil {
				yield(seen{}, err)
				return
			}
			for _, one := range page {
				if !yield(one, nil) {
					return
				}
			}
			if len(page) < aPage {
				return
			}
			query.Set("after", page[len(page)-1].ID)
		}
	}
}

// listSessions prints sessions as they come: a line each for people, an array
// for machines.
func listSessions(out io.Writer, all iter.Seq2[seen, error], forMachines bool) error {
	if forMachines {
		array := []seen{}
		for one, err := range all {
			if err != nil {
				return err
			}
			array = append(array, one)
		}
		return json.NewEncoder(out).Encode(array)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tITEMS\tWATCHES\tGRACE\tCONNECTED")
	n := 0
	for one, err := range all {
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
		n++
		fmt.Fprintf(w, "%s\t%d\t%d\t%v\t%s\n", one.ID, one.Items, one.Watches, one.grace(), one.connected())
	}
	if n == 0 {
		fmt.Fprintln(w, "(none)")
	}
	return w.Flush()
}

func (s *seen) grace() time.Duration { return time.Duration(s.GraceMs) * time.Millisecond }

// connected says where a session's client is.
func (s *seen) connected() string {
	switch {
	case s.Peers == 0:
		return "no: in its grace"
	case s.Peers == 1:
		return "to 1 peer"
	default:
		return fmt.Sprintf("to %d peers", s.Peers)
	}
}

// printSession prints one session for people.
func printSession(out io.Writer, text json.RawMessage) error {
	var one seen
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "session\t%s\n", one.ID)
	if one.Life == 0 {
		fmt.Fprintln(w, "connected\tto this peer only, and holds nothing")
		return w.Flush()
	}
	fmt.Fprintf(w, "since\tindex %d\ngrace\t%v\nconnected\t%s\n", one.Life, one.grace(), one.connected())
	for _, item := range one.Holds {
		fmt.Fprintf(w, "holds\t%s  version %d\n", item.Path, item.Version)
	}
	for _, watch := range one.Follows {
		how := ""
		if watch.Limit >= 0 {
			how = fmt.Sprintf("  the first %d", watch.Limit)
		}
		fmt.Fprintf(w, "watches\t%s%s\n", watch.Path, how)
	}
	return w.Flush()
}

// completeSession is for the shell: the ids of the first sessions.
func (o *operator) completeSession(cmd *cobra.Command, args []string, typed string) (ids []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for one, err := range o.sessions(cmd.Context(), sessionsAPage) {
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		if !strings.HasPrefix(one.ID, typed) {
			continue
		}
		if ids = append(ids, fmt.Sprintf("%s\t%d items", one.ID, one.Items)); len(ids) == mostCompletions {
			break
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
