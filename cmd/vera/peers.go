package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vera"
)

// member is a peer as /vera/peers tells of it.
type member struct {
	Name   string `json:"name"`
	ID     string `json:"id"`
	Client string `json:"client,omitempty"`
	Peer   string `json:"peer,omitempty"`
	Role   string `json:"role"`
	Gone   bool   `json:"gone,omitempty"`
}

// peersCommand shows the cluster and changes it. Any peer may be asked.
func peersCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "peers", Short: "show the cluster, or change it", Args: noArguments}
	o := operatorFlags(cmd.PersistentFlags())
	asJSON := cmd.PersistentFlags().Bool("json", false, "print JSON, also on a terminal")
	list := func(cmd *cobra.Command, _ []string) error {
		members, led, err := o.cluster(cmd.Context())
		if err != nil {
			return err
		}
		if !led {
			fmt.Fprintf(s.err, "vera: no leader is known at %s now: this is how the cluster was last\n", o.server)
		}
		if *asJSON || !isTerminal(s.out) {
			return json.NewEncoder(s.out).Encode(members)
		}
		return printMembers(s.out, members)
	}
	cmd.RunE = list
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "show the cluster, its leader first", Args: noArguments, RunE: list})
	for _, change := range []struct{ name, short, done string }{
		{"remove", "take a peer out for good; its name is free then", "%s is removed. A new machine with an empty data directory may take its name.\n"},
		{"promote", "give an observer a vote", "%s has a vote.\n"},
		{"transfer", "have a peer lead", "%s leads.\n"},
	} {
		sub := &cobra.Command{Use: change.name + " NAME", Short: change.short, Args: oneName, ValidArgsFunction: o.complete}
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			response, err := o.ask(cmd.Context(), http.MethodPost, "/peers/"+url.PathEscape(args[0])+"/"+change.name)
			if err != nil {
				return err
			}
			_ = response.Body.Close() // it says OK
			if *asJSON || !isTerminal(s.out) {
				return json.NewEncoder(s.out).Encode(map[string]string{change.name: args[0]})
			}
			_, err = fmt.Fprintf(s.out, change.done, args[0])
			return err
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

// oneName wants the name of a peer and nothing else.
func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usageError{fmt.Errorf("usage: %s; names are those of: vera peers", cmd.UseLine())}
	}
	return nil
}

// members is cluster for who does not ask whether anybody leads.
func (o *operator) members(ctx context.Context) ([]member, error) {
	members, _, err := o.cluster(ctx)
	return members, err
}

// cluster reads the cluster, which the clients' listener tells as well: a list
// changes with the log, so without a leader it says who led. led says whether
// one is known.
func (o *operator) cluster(ctx context.Context) (members []member, led bool, err error) {
	response, err := o.ask(ctx, http.MethodGet, string(vera.PeersPath))
	if err != nil {
		return nil, false, err
	}
	defer response.Body.Close()
	var listing struct {
		Items []struct {
			Data member `json:"data"`
		} `json:"items"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&listing); err != nil {
		return nil, false, fmt.Errorf("%s: %w", o.server, err)
	}
	for _, item := range listing.Items {
		members = append(members, item.Data)
	}
	leader, told := response.Header[http.CanonicalHeaderKey("Vera-Leader")]
	return members, !told || leader[0] != "", nil
}

// complete is for the shell: the names of the peers.
func (o *operator) complete(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	members, err := o.members(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// printMembers prints the cluster for people.
func printMembers(out io.Writer, members []member) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tCLIENTS\tPEERS")
	for _, m := range members {
		if m.Gone {
			m.Role += ", gone"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, m.Role, cmp.Or(m.Client, "–"), cmp.Or(m.Peer, "–"))
	}
	return w.Flush()
}
