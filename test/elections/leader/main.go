package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"vera/client"
)

// main takes the list, the grace and the servers. It writes "item VERSION PID"
// for each item that it pushes and, every millisecond that it leads, "leads
// VERSION MOMENT", by the wall clock in nanoseconds.
func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
		cancel()
	}()
	grace, err := time.ParseDuration(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Connect(ctx, os.Args[3:], client.Options{Grace: grace, Heartbeat: 250 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	for ctx.Err() == nil {
		if err := lead(ctx, c, os.Args[1]); err != nil && !errors.Is(err, client.ErrSessionEnded) && ctx.Err() == nil {
			log.Fatal(err)
		}
	}
	_ = c.Close() // the session ends one way or another
}

// lead takes part in one election until it is over.
func lead(ctx context.Context, c *client.Client, path string) error {
	e, err := c.Elect(ctx, path, struct{}{})
	if err != nil {
		return err
	}
	fmt.Println("item", e.Fence(), os.Getpid())
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		leader, err := e.Leader(ctx)
		if err != nil {
			return err
		}
		for {
			now := time.Now().UnixNano()
			if leader.Err() != nil {
				break
			}
			fmt.Println("leads", e.Fence(), now)
			<-tick.C
		}
	}
}
