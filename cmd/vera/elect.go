package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"vera/client"
)

const (
	leastBeat  = 250 * time.Millisecond // the least heartbeat that peers take by default
	mostBeat   = 10 * time.Second
	leastLook  = 10 * time.Millisecond
	looksATerm = 20 // into the time that a leader has left
)

// electCommand runs a command while an item of its own is a list's head.
func electCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "elect PATH [flags] -- CMD…", Short: "run a command while leading", DisableFlagsInUseLine: true}
	cmd.Long = "run a command while an item of its own is the head of a list. VERA_FENCE is that item's version, and\n" +
		"VERA_PATH, VERA_SESSION, VERA_SERVER are set. On doubt the command and all below it get SIGTERM, then SIGKILL,\n" +
		"before another can lead. Ends with the command's status; 75 if leading was lost and the command stopped."
	e := &electing{streams: s}
	server := serverFlag(cmd.Flags())
	data := cmd.Flags().String("data", "{}", "what the item holds, a JSON object; -: from standard input")
	cmd.Flags().DurationVar(&e.options.Grace, "grace", 0, "how long the item outlives a lost connection (default: as the server has it)")
	cmd.Flags().DurationVar(&e.options.Heartbeat, "heartbeat", 0, "a frozen machine is noticed after twice that (default: half the grace)")
	cmd.Flags().BoolVar(&e.again, "again", false, "when leading was lost, wait for the next turn")
	cmd.Flags().BoolVar(&e.asJSON, "json", false, "say what happens in JSON, a line each on standard error")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) < 2 || cmd.ArgsLenAtDash() != 1 {
			return usageError{fmt.Errorf("usage: %s; the command comes behind --", cmd.UseLine())}
		}
		return arguments("PATH")(cmd, args[:1])
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("grace") && e.options.Grace <= 0 {
			return usageError{fmt.Errorf("--grace is %v: an election needs one, or nothing is ever safe", e.options.Grace)}
		}
		if e.options.Heartbeat == 0 {
			e.options.Heartbeat = min(max(e.options.Grace/2, leastBeat), mostBeat)
			if e.options.Grace == 0 {
				e.options.Heartbeat = time.Second // half of the grace that servers have by default
			}
		}
		var err error
		if e.data, err = dataOf(*data, s.in); err != nil {
			return err
		}
		e.server, e.path, e.argv = *server, args[0], args[1:]
		return e.run(cmd.Context())
	}
	return cmd
}

// electing is a candidate and its command.
type electing struct {
	streams
	server, path string
	data         json.RawMessage
	argv         []string
	options      client.Options
	again        bool
	asJSON       bool
	client       *client.Client
}

// run is a candidate until the command has ended, or leading was lost.
func (e *electing) run(ctx context.Context) error {
	if err := runnable(e.argv); err != nil {
		return err
	}
	caught := catch()
	defer signal.Stop(caught)
	var err error
	if e.client, err = connect(ctx, e.server, e.options); err != nil {
		return err
	}
	for {
		err = e.stand(ctx)
		lost := errors.Is(err, client.ErrSessionEnded) || errors.Is(err, errStopped)
		if !lost || !e.again || ctx.Err() != nil {
			break
		}
	}
	_ = e.client.Close() // its item goes: nothing of the command runs any more
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return caught.status()
	}
	return err
}

// stand pushes an item and leads whenever that is the head, for as long as the
// item is there and it may try again.
func (e *electing) stand(ctx context.Context) error {
	pushing, cancel := context.WithTimeout(ctx, pushFor)
	defer cancel()
	if e.again {
		pushing = ctx
	}
	election, err := e.client.Elect(pushing, e.path, e.data)
	if err != nil {
		return unled(err)
	}
	for {
		e.tell("waiting", election.Fence(), nil)
		leading, err := wait(ctx, election)
		if err != nil {
			return err
		}
		err = e.lead(ctx, election, leading)
		if !errors.Is(err, errStopped) || !e.again || election.Err() != nil || ctx.Err() != nil {
			return err
		}
	}
}

// wait waits for the election's turn, until ctx is done: what follows is over
// only when leading is.
func wait(ctx context.Context, election *client.Election) (context.Context, error) {
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, cancel)()
	leading, err := election.Leader(waiting)
	if errors.Is(err, client.ErrSessionEnded) {
		err = statusError{statusLost, err}
	}
	return leading, err
}

// errStopped says that leading was lost and that the command was stopped.
var errStopped = errors.New("the command was stopped")

// lead runs the command while this is the head.
func (e *electing) lead(ctx context.Context, election *client.Election, leading context.Context) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passed()...)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// From here on a signal is the command's to obey.
	end := func() time.Duration {
		now := sinceBoot() // before the question: the end may be early, never late
		return now + election.Until()
	}
	first := end()
	e.tell("elected", election.Fence(), nil)
	g, err := startGuarded(e.streams, e.argv, []string{
		"VERA_FENCE=" + strconv.FormatUint(election.Fence(), 10), "VERA_PATH=" + e.path,
		"VERA_SESSION=" + e.client.Session().Session, "VERA_SERVER=" + e.server,
	}, first)
	if err != nil {
		return err
	}
	last := g.attend(hold{
		lost: leading.Done(), end: end, look: min(max((first-sinceBoot())/looksATerm, leastLook), lookEvery),
		after: func() time.Duration {
			if election.Err() != nil {
				return 0 // the item is gone: another may lead
			}
			return never
		},
	}, signals)
	if last.Stopped {
		why := context.Cause(leading)
		if why == nil {
			why = errors.New("nobody confirmed in time that this one leads")
		}
		e.tell("lost", election.Fence(), why)
		return statusError{statusLost, fmt.Errorf("%w: %w", why, errStopped)}
	}
	return ending(last, nil)
}

// tell says what happens, for who follows it.
func (e *electing) tell(state string, fence uint64, why error) {
	if e.asJSON {
		said := map[string]any{"state": state, "path": e.path, "fence": fence}
		if why != nil {
			said["reason"] = why.Error()
		}
		_ = json.NewEncoder(e.err).Encode(said) // whoever followed it is gone
		return
	}
	switch {
	case why == nil:
		fmt.Fprintf(e.err, "vera: %s: %s, item %d\n", e.path, state, fence)
	case e.again: // else it is told at the end
		fmt.Fprintf(e.err, "vera: %s: %s, item %d: %v\n", e.path, state, fence, why)
	}
}
