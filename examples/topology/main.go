package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"vera/client"
	"vera/examples/peer"
)

// list is where the databases are, the primary first.
const list = "/data/topology"

// grace is how long a database that was lost keeps its place, and how often its
// peer asks whether one that is silent is there still: what a write
// waits for at most when the primary dies, and how long it may be in doubt.
const grace = time.Second

func main() {
	server := flag.String("server", "", "`URL` of a peer of Vera; without it one is started")
	demo := flag.Bool("demo", false, "kill the primary once, and end")
	name := flag.String("database", "", "be the database of this `name`; for processes that this program starts")
	flag.Parse()
	log.SetFlags(0)
	log.SetPrefix(cmp.Or(*name, "topology") + ": ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return topology(ctx, *server, *demo) }
	if *name != "" {
		run = func() error { return serve(ctx, *server, *name) }
	}
	if err := run(); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// topology starts everything and follows what happens.
func topology(ctx context.Context, server string, demo bool) (err error) {
	p, err := peer.Use(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	c, err := client.Connect(ctx, []string{p.URL}, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	databases := map[string]*exec.Cmd{}
	for _, name := range []string{"ann", "bob", "cleo"} {
		if databases[name], err = peer.Again("-server", p.URL, "-database", name); err != nil {
			return err
		}
		defer peer.End(databases[name])
	}
	w := &writer{vera: c}
	watching, unwatch := context.WithCancel(ctx)
	followed := make(chan error, 1)
	go func() { followed <- w.follow(watching) }()
	defer func() { unwatch(); <-followed }()
	if demo {
		return show(ctx, w, databases)
	}
	fmt.Println("Kill the primary and see the order move up. Ctrl-C ends everything.")
	for name, d := range databases {
		fmt.Printf("  kill -9 %d   # %s\n", d.Process.Pid, name)
	}
	for n := 1; ctx.Err() == nil; n++ {
		if err := w.write(ctx, fmt.Sprint("value ", n)); err != nil {
			return err
		}
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

// show is the demonstration: writes, a primary that dies, writes.
func show(ctx context.Context, w *writer, databases map[string]*exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.await(ctx, func(order []database) bool { return len(order) == len(databases) }); err != nil {
		return err
	}
	for n := range 20 {
		if n == 10 {
			primary := w.look()[0].Name
			fmt.Println("killing the primary,", primary)
			if err := databases[primary].Process.Kill(); err != nil {
				return err
			}
		}
		if err := w.write(ctx, fmt.Sprint("value ", n+1)); err != nil {
			return err
		}
	}
	return w.check(ctx, w.look()[0])
}

// title says what the order makes of each database.
func title(order []database) string {
	var words []string
	for i, d := range order {
		words = append(words, d.Name+" ("+[...]string{"primary", "standby", "asynchronous"}[min(i, 2)]+")")
	}
	return cmp.Or(strings.Join(words, ", "), "nobody")
}
