package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"vera/client"
	"vera/examples/peer"
)

// list is where the backends are.
const list = "/data/backends"

// goodbye is how long what is under way may take when the proxy ends.
const goodbye = 5 * time.Second

func main() {
	server := flag.String("server", "", "`URL` of a peer of Vera; without it one is started, and three backends")
	address := flag.String("address", "127.0.0.1:8380", "`host:port` for requests")
	name := flag.String("backend", "", "be a backend of this `name`, or make one of the command in the arguments")
	weight := flag.Int("weight", 1, "a backend's share of the requests")
	flag.Parse()
	log.SetFlags(0)
	log.SetPrefix(cmp.Or(*name, "balancer") + ": ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return balance(ctx, *server, *address) }
	if *name != "" {
		run = func() error { return serve(ctx, *server, *name, *weight, flag.Args()) }
	}
	if err := run(); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// balance is the proxy.
func balance(ctx context.Context, server, address string) (err error) {
	p, err := peer.Use(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	// Local: the watch costs the cluster nothing; there may be many proxies.
	c, err := client.Connect(ctx, []string{p.URL}, client.Options{Local: true})
	if err != nil {
		return err
	}
	defer c.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	pool := newPool()
	web, served := &http.Server{Handler: pool.proxy()}, make(chan error, 2)
	go func() { served <- web.Serve(listener) }()
	defer func() {
		last, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		err = errors.Join(err, web.Shutdown(last))
	}()
	go func() { served <- pool.follow(ctx, c) }()
	fmt.Printf("Ask:              curl http://%s/\n", listener.Addr())
	fmt.Printf("Another backend:  go -C examples run ./balancer -server %s -backend dan\n", p.URL)
	for _, name := range []string{"ann", "bob", "cleo"} {
		if server != "" {
			break
		}
		b, err := peer.Again("-server", p.URL, "-backend", name)
		if err != nil {
			return err
		}
		defer peer.End(b)
		fmt.Printf("Kill a backend:   kill -9 %d   # %s\n", b.Process.Pid, name)
	}
	return <-served // follow ends with ctx
}
