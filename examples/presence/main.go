package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"vera/examples/peer"
)

//go:embed index.html
var page []byte

func main() {
	addr := flag.String("addr", "127.0.0.1:8370", "where to serve the page")
	server := flag.String("server", "", "`URL` of a peer of Vera, or several with commas between; without it one is started")
	flag.Parse()
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := presence(ctx, *addr, *server); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// presence serves the page until ctx is done.
func presence(ctx context.Context, addr, server string) (err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	p, err := peer.Use(ctx, server)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	routes, err := routesTo(strings.Split(p.URL, ","))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{Handler: routes}
	defer context.AfterFunc(ctx, func() { web.Close() })()
	fmt.Printf("Open http://%s/ in several windows. Ctrl-C ends everything.\n", listener.Addr())
	return web.Serve(listener)
}

// routesTo returns the page, and around it the peers: one origin.
func routesTo(servers []string) (http.Handler, error) {
	vera, err := newPeers(servers)
	if err != nil {
		return nil, err
	}
	routes := http.NewServeMux()
	routes.Handle("/", vera)
	routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // who asked has gone
	})
	return routes, nil
}
