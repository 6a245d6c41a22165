package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"

	"github.com/spf13/cobra"

	"vera"
	"vera/client"
)

// pushCommand pushes an item and holds it until it is interrupted, or while a
// command runs.
func pushCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "push PATH JSON|-", Short: "push an item, hold it until interrupted", Args: arguments("PATH", "JSON|-")}
	cmd.Long = "push an item, and hold it until interrupted or, with --exec, while a command runs;\n" +
		"the command finds VERA_PATH, VERA_VERSION, VERA_SESSION and VERA_SERVER set"
	server := serverFlag(cmd.Flags())
	grace := cmd.Flags().Duration("grace", 0, "how long the item outlives a lost connection (default: as the server has it)")
	once := cmd.Flags().String("once", "", "the push happens at most once under this word; a random one when none is given")
	ifMatch := cmd.Flags().String("if-match", "", "only if the list's etag is this one (0: only if it is empty)")
	line := cmd.Flags().String("exec", "", "a command for sh: hold the item while it runs, and end with its status")
	asJSON := cmd.Flags().Bool("json", false, "print JSON, also on a terminal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		data, err := dataOf(args[1], s.in)
		if err != nil {
			return err
		}
		if *once == "" {
			*once = rand.Text()
		}
		if *grace == 0 && cmd.Flags().Changed("grace") {
			*grace = client.NoGrace
		}
		options := []client.Option{client.Once(*once), client.Limit(0)}
		if *ifMatch != "" {
			options = append(options, client.IfMatch(*ifMatch))
		}
		h := &holding{roaming{server: *server, options: client.Options{Grace: *grace}}, args[0]}
		version, err := h.push(cmd.Context(), data, options)
		if err != nil {
			return advised(*server, err)
		}
		if *line != "" {
			return h.run(cmd.Context(), s, version, *line)
		}
		if *asJSON || !isTerminal(s.out) {
			err = json.NewEncoder(s.out).Encode(client.Held{Path: args[0], Version: version})
		} else {
			_, err = fmt.Fprintf(s.out, "version %d; held until Ctrl-C\n", version)
		}
		if err != nil {
			return err
		}
		return h.hold(cmd.Context(), version)
	}
	return cmd
}

// dataOf reads an item's data: the argument itself or, for "-", all of in.
func dataOf(argument string, in io.Reader) (json.RawMessage, error) {
	if argument != "-" {
		return json.RawMessage(argument), checkObject(argument)
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return json.RawMessage(text), checkObject(string(text))
}

func checkObject(text string) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
		return usageError{fmt.Errorf("JSON: %.40q is not a JSON object such as {\"port\":80}", text)}
	}
	return nil
}

// holding is a session that is kept alive for its one item.
type holding struct {
	roaming
	path string
}

// push connects and pushes.
func (h *holding) push(ctx context.Context, data json.RawMessage, options []client.Option) (version uint64, err error) {
	if err := h.begin(ctx); err != nil {
		return 0, err
	}
	pushed, err := h.connection.Push(ctx, h.path, data, options...)
	return pushed.Version, err
}

// run holds the item while a command runs. When the item is lost the command
// is stopped.
func (h *holding) run(ctx context.Context, s streams, version uint64, line string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passed()...)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return h.connection.Close()
	}
	// From here on a signal is the command's to obey.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	session, err := h.connection.Session(ctx)
	if err != nil {
		return err
	}
	g, err := startGuarded(s, shell(line), []string{
		"VERA_PATH=" + h.path, "VERA_VERSION=" + strconv.FormatUint(version, 10), "VERA_SESSION=" + session.Session, "VERA_SERVER=" + h.server,
	}, moments{never, never})
	if err != nil {
		return err
	}
	var why error
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		why = h.hold(ctx, version)
	}()
	last := g.attend(hold{lost: lost, after: func() moments { return moments{0, sinceBoot() + killAfter} }}, signals)
	cancel()
	<-lost
	return ending(last, why)
}

// hold keeps the item until ctx is done, and then closes on purpose, so that
// the item is gone at once. It comes back when the connection is lost, and
// fails when the session ended in the meantime.
func (h *holding) hold(ctx context.Context, version uint64) error {
	for {
		select {
		case <-ctx.Done():
			return h.connection.Close()
		case <-h.connection.Done():
		}
		if closed, is := errors.AsType[*client.Closed](h.connection.Err()); is && closed.Code == vera.CloseEnded {
			return fmt.Errorf("%s: item %d is gone: the session ended", h.path, version)
		}
		if err := h.back(ctx, version); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// back connects again. Then the session says whether the item is still held.
func (h *holding) back(ctx context.Context, version uint64) error {
	if err := h.again(ctx); err != nil {
		return fmt.Errorf("%s: item %d is lost: %w", h.path, version, err)
	}
	session, err := h.connection.Session(ctx)
	if err != nil {
		return err
	}
	for _, held := range session.Items {
		if held.Path == h.path && held.Version == version {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("%s: item %d is gone: the session ended while the connection was lost", h.path, version), h.connection.Close())
}
