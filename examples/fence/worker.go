package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"vera/client"
)

const (
	// grace is how long a worker that was lost keeps its place.
	grace = 500 * time.Millisecond
	// heartbeat is how often Vera asks a silent worker whether it is there.
	heartbeat = 250 * time.Millisecond
	// thought is how long a worker thinks between reading and writing.
	thought = 50 * time.Millisecond
)

// work counts in the store whenever this process leads, until ctx is done. It
// says so when it is in the middle of a step.
func work(ctx context.Context, vera, store string, say io.Writer) error {
	c, err := client.Connect(ctx, []string{vera}, client.Options{Grace: grace, Heartbeat: heartbeat})
	if err != nil {
		return err
	}
	defer c.Close()
	for ctx.Err() == nil {
		e, err := c.Elect(ctx, "/data/fence", struct{}{})
		for err == nil {
			var leader context.Context
			if leader, err = e.Leader(ctx); err == nil {
				count(leader, store, e.Fence(), say)
			}
		}
		if !errors.Is(err, client.ErrSessionEnded) && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// count makes one step after the other while leader is not done. A step that
// fails was refused, or its answer was lost: the next begins by reading.
func count(leader context.Context, store string, fence uint64, say io.Writer) {
	for leader.Err() == nil { // asked before the step, not in its middle
		n, err := ask(http.MethodGet, store, request{Fence: fence})
		if err != nil {
			fmt.Fprintln(say, "refused:", err)
			time.Sleep(thought)
			continue
		}
		fmt.Fprintln(say, "read", n)
		time.Sleep(thought)
		if _, err := ask(http.MethodPut, store, request{Fence: fence, Count: n + 1}); err != nil {
			fmt.Fprintln(say, "refused:", err)
		}
	}
}

// ask sends a request to the store and returns the count.
func ask(method, store string, what request) (n int, err error) {
	text, err := json.Marshal(what)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequest(method, store, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	if err != nil {
		return 0, err
	}
	return n, json.Unmarshal(answer, &n)
}
