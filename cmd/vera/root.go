package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// rootCommand is `vera`: the same as `vera serve`, and the way to the others.
func rootCommand(s streams) *cobra.Command {
	c := defaultConfig()
	root := &cobra.Command{
		Use:           "vera",
		Short:         "A coordination service whose protocol is the web",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c, cmd.Flags(), s) },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	addFlags(root.Flags(), c)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprint(s.out, rootHelp(cmd)) })
	root.AddCommand(serveCommand(s), getCommand(s), pushCommand(s), watchCommand(s), electCommand(s),
		devCommand(s), guardCommand(s), peersCommand(s), sessionsCommand(s), snapshotCommand(s), secretCommand(s), versionCommand(s))
	root.InitDefaultCompletionCmd()
	for _, sub := range root.Commands() {
		if sub.Name() == "completion" {
			sub.Short = "have your shell complete commands"
		}
		if sub.Name() != "serve" {
			sub.SetHelpFunc(commandHelp(s))
		}
	}
	return root
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is neither a command nor a flag of %s", args[0], cmd.CommandPath())}
	}
	return nil
}

func serveCommand(s streams) *cobra.Command {
	c := defaultConfig()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "start a peer (the default)",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c, cmd.Flags(), s) },
	}
	addFlags(cmd.Flags(), c)
	cmd.SetHelpFunc(func(*cobra.Command, []string) { fmt.Fprint(s.out, serveHelp(true)) })
	return cmd
}

func addFlags(flags *pflag.FlagSet, c *config) {
	for _, g := range c.groups() {
		flags.AddFlagSet(g.flags)
	}
	forgive(flags, &c.wrong)
}

// rootHelp fits on one screen: the commands, and the flags of a peer but its
// limits, by purpose.
func rootHelp(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("vera: a coordination service whose protocol is the web\n\n")
	b.WriteString(twoColumns(root.Commands()))
	b.WriteString(serveHelp(false))
	b.WriteString("\nLimits and Raft's times: vera serve --help. Every flag is also VERA_FLAG_NAME and a key of --config.\n")
	return b.String()
}

// forClients are the commands that speak with the clients' listener, in the
// order of what a newcomer tries; what is none of theirs runs and operates peers.
func forClients() []string { return []string{"get", "watch", "push", "elect"} }

// twoColumns lists commands: those of clients, and those that run and operate
// peers; what is for everybody stands below the shorter column.
func twoColumns(all []*cobra.Command) string {
	var left, right, below []*cobra.Command
	for _, c := range all {
		switch {
		case !c.IsAvailableCommand():
		case slices.Contains(forClients(), c.Name()):
			left = append(left, c)
		case c.Name() == "completion" || c.Name() == "version":
			below = append(below, c)
		default:
			right = append(right, c)
		}
	}
	order := func(c *cobra.Command) int { return slices.Index(forClients(), c.Name()) }
	slices.SortFunc(left, func(a, b *cobra.Command) int { return order(a) - order(b) })
	left = append(left, below...)
	var b strings.Builder
	fmt.Fprintf(&b, "%-54s %s\n", "For clients", "For peers")
	for i := range max(len(left), len(right)) {
		line := fmt.Sprintf("%-54s ", "")
		if i < len(left) {
			line = fmt.Sprintf("  %-10s %-42s", left[i].Name(), left[i].Short)
		}
		if i < len(right) {
			line += fmt.Sprintf("  %-10s %s", right[i].Name(), right[i].Short)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// serveHelp lists the flags of a peer by purpose, a line each; those of limits
// and of Raft only when all are wanted.
func serveHelp(all bool) string {
	var b strings.Builder
	for _, g := range defaultConfig().groups() {
		if (g.title == limitsTitle || g.title == raftTitle) && !all {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", g.title)
		g.flags.SortFlags = false
		g.flags.VisitAll(func(f *pflag.Flag) {
			value := f.DefValue
			if value == "" || value == "[]" {
				value = "–"
			}
			fmt.Fprintf(&b, "  --%-24s %-15s %s\n", f.Name, value, f.Usage)
		})
	}
	return b.String()
}

// commandHelp prints a subcommand's use, what is below it, and its flags.
func commandHelp(s streams) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(s.out, "%s\n\nUsage: %s\n", cmp.Or(cmd.Long, cmd.Short), cmd.UseLine())
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(s.out, "  %-20s %s\n", sub.Use, sub.Short)
			}
		}
		fmt.Fprintf(s.out, "\n%s%s", cmd.LocalFlags().FlagUsages(), cmd.InheritedFlags().FlagUsages())
	}
}

// serverFlag adds --server, or VERA_SERVER, to a client's command.
func serverFlag(flags *pflag.FlagSet) *string {
	server := os.Getenv("VERA_SERVER")
	if server == "" {
		server = "http://127.0.0.1:8372"
	}
	return flags.String("server", server, "the peer to ask; more with commas between; also VERA_SERVER")
}
