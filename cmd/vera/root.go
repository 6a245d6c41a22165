package main

import (
	"fmt"
	"os"
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
	root.AddCommand(serveCommand(s), getCommand(s), pushCommand(s), watchCommand(s), versionCommand(s))
	for _, sub := range root.Commands() {
		if sub.Name() != "serve" {
			sub.SetHelpFunc(commandHelp(s))
		}
	}
	return root
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s: %q is neither a command nor a flag", cmd.CommandPath(), args[0])}
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
	b.WriteString("vera: a coordination service whose protocol is the web\n\nCommands\n")
	for _, sub := range root.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(&b, "  %-10s %s\n", sub.Name(), sub.Short)
		}
	}
	b.WriteString(serveHelp(false))
	b.WriteString("\nLimits: vera serve --help. Every flag is also VERA_FLAG_NAME and a key of --config.\n")
	return b.String()
}

// serveHelp lists the flags of a peer by purpose, a line each.
func serveHelp(limits bool) string {
	var b strings.Builder
	for _, g := range defaultConfig().groups() {
		if g.title == "Limits" && !limits {
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

// commandHelp prints a subcommand's use and its own flags.
func commandHelp(s streams) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(s.out, "%s\n\nUsage: %s\n\n%s", cmd.Short, cmd.UseLine(), cmd.LocalFlags().FlagUsages())
	}
}

// serverFlag adds --server, or VERA_SERVER, to a client's command.
func serverFlag(flags *pflag.FlagSet) *string {
	server := os.Getenv("VERA_SERVER")
	if server == "" {
		server = "http://127.0.0.1:8372"
	}
	return flags.String("server", server, "the peer to ask; also VERA_SERVER")
}
