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
	"time"

	"github.com/spf13/cobra"

	"vera/client"
)

// pushCommand pushes an item and holds it until it is interrupted, or while a
// command runs.
func pushCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "push PATH JSON|-", Short: "push an item, hold it until interrupted", Args: arguments("PATH", "JSON|-"), ValidArgsFunction: nothing}
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
		c, err := connect(cmd.Context(), *server, client.Options{Grace: *grace})
		if err != nil {
			return err
		}
		h, err := push(cmd.Context(), c, args[0], data, options...)
		if err != nil {
			return errors.Join(err, c.Close())
		}
		if *line != "" {
			return holdWhile(cmd.Context(), s, &held{c, h}, *server, *line)
		}
		if *asJSON || !isTerminal(s.out) {
			err = json.NewEncoder(s.out).Encode(client.Held{Path: args[0], Version: h.Version()})
		} else {
			_, err = fmt.Fprintf(s.out, "version %d; held until Ctrl-C\n", h.Version())
		}
		if err != nil {
			return errors.Join(err, c.Close())
		}
		return (&held{c, h}).until(cmd.Context())
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

// held is an item and the client that holds it.
type held struct {
	client *client.Client
	item   *client.Handle
}

// until holds the item until ctx is done, and then ends the session, so that
// the item is gone at once. It fails when the item is lost before.
func (h *held) until(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return h.giveUp()
	case <-h.item.Lost():
		return errors.Join(h.loss(), h.client.Close())
	}
}

// giveUp ends the session.
func (h *held) giveUp() error {
	if err := h.client.Close(); err != nil {
		return fmt.Errorf("%s: no peer could be told (%w): item %d goes after its grace", h.item.Path(), err, h.item.Version())
	}
	return nil
}

// loss says what became of the item; nil while it is held.
func (h *held) loss() error {
	if h.item.Reason() == "" {
		return nil
	}
	return fmt.Errorf("%s: item %d is gone: %s", h.item.Path(), h.item.Version(), h.item.Reason())
}

// holdWhile holds the item while a command runs. When the item is lost the
// command is stopped.
func holdWhile(ctx context.Context, s streams, h *held, server, line string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passed()...)
	defer signal.Stop(signals)
	if ctx.Err() != nil {
		return h.giveUp()
	}
	// From here on a signal is the command's to obey.
	g, err := startGuarded(s, shell(line), []string{
		"VERA_PATH=" + h.item.Path(), "VERA_VERSION=" + strconv.FormatUint(h.item.Version(), 10),
		"VERA_SESSION=" + h.client.Session().Session, "VERA_SERVER=" + server,
	}, never)
	if err != nil {
		return errors.Join(err, h.client.Close())
	}
	last := g.attend(hold{lost: h.item.Lost(), after: func() time.Duration { return sinceBoot() + killAfter }}, signals)
	lost := h.loss()
	_ = h.client.Close() // the item goes, at once or after its grace
	return ending(last, lost)
}
