package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"vera/client"
)

// watchCommand tells of every change of a list: first of the list as it is. It
// goes on at another peer when its own is lost.
func watchCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "watch PATH", Short: "tell of every change of a list", Args: arguments("PATH"), ValidArgsFunction: nothing}
	cmd.Long = "tell of every change of a list, a JSON line each; or, with --exec, run a command for each, one after the other:\n" +
		"what changes meanwhile is told in one. It has the JSON on its standard input, and VERA_PATH, VERA_INDEX,\n" +
		"VERA_ETAG, VERA_ITEMS (how many), VERA_HEAD (version of the head, or empty) and VERA_SERVER set. That it fails\n" +
		"is told on standard error, and ends nothing."
	server := serverFlag(cmd.Flags())
	limit := cmd.Flags().Int("limit", -1, "watch the first n items only (1: the head); -1: all")
	changes := cmd.Flags().Bool("changes", false, "print only what changed, not the whole list")
	line := cmd.Flags().String("exec", "", "a command for sh, to run for each notification")
	cmd.Flags().Bool("json", true, "JSON lines: what it always prints")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wishes []client.Option
		if *limit >= 0 {
			wishes = append(wishes, client.Limit(*limit))
		}
		ctx := cmd.Context()
		c, err := connect(ctx, *server, client.Options{Local: true, Connections: client.One})
		if err != nil {
			return err
		}
		t := &teller{streams: s, server: *server, line: *line, changes: *changes}
		for n, failed := range c.Watch(ctx, args[0], wishes...) {
			if err = failed; err == nil {
				err = t.tell(ctx, n)
			}
			if err != nil {
				break
			}
		}
		_ = c.Leave() // it holds nothing that could stay behind
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return cmd
}

// teller tells people or a command what happens on a list.
type teller struct {
	streams
	server, line string
	changes      bool
}

// tell prints a notification, or runs the command for it to its end.
func (t *teller) tell(ctx context.Context, n client.Notification) error {
	told := n
	told.Items = orEmpty(n.Items)
	switch {
	case n.Reset:
		told.Added = nil // all of it
	case t.changes:
		told.Items = nil
	}
	text, err := json.Marshal(told)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if t.line == "" {
		_, err = t.out.Write(text)
		return err
	}
	cmd := prepared(ctx, t.streams, t.line)
	cmd.Stdin = bytes.NewReader(text)
	cmd.Env = append(os.Environ(), "VERA_SERVER="+t.server, "VERA_PATH="+n.Path,
		"VERA_INDEX="+strconv.FormatUint(n.Index, 10), "VERA_ETAG="+n.ETag,
		"VERA_ITEMS="+strconv.Itoa(cmp.Or(n.Total, len(n.Items))), "VERA_HEAD="+head(n.Items))
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		fmt.Fprintf(t.err, "vera: %s: the command for index %d: %v\n", n.Path, n.Index, err)
	}
	return nil
}

func head(items []client.Item) string {
	if len(items) == 0 {
		return ""
	}
	return strconv.FormatUint(items[0].Version, 10)
}

// prepared is a command line for sh in a process group of its own. When ctx is
// done the group gets SIGTERM, and the command SIGKILL if it stays.
func prepared(ctx context.Context, s streams, line string) *exec.Cmd {
	argv := shell(line)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = s.out, s.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}
	cmd.WaitDelay = killAfter
	return cmd
}
