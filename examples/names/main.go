package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"vera/client"
	"vera/examples/peer"
)

func main() {
	servers := flag.String("server", "", "`URLs` of peers of Vera, with commas between; without one a peer is started")
	address := flag.String("address", "127.0.0.1:5354", "`host:port` for questions, by UDP and TCP")
	zone := flag.String("zone", "test.", "the `name` below which this server answers")
	ttl := flag.Duration("ttl", 5*time.Second, "time to live of an answer, in whole seconds")
	stale := flag.Duration("stale", time.Minute, "for how long a name is told when no peer answers")
	flag.Parse()
	log.SetFlags(0)
	log.SetPrefix("names: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *servers, *address, dns.CanonicalName(*zone), *ttl, *stale); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, servers, address, zone string, ttl, stale time.Duration) (err error) {
	if ttl < time.Second {
		return fmt.Errorf("ttl: %v is less than a second", ttl)
	}
	p, err := peer.Use(ctx, servers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	s, err := listen(address, &handler{zone: zone, ttl: ttl, records: newCache(strings.Split(p.URL, ","), ttl, stale)})
	if err != nil {
		return err
	}
	defer s.stop()
	if servers == "" { // something to ask for
		c, err := client.Connect(ctx, []string{p.URL}, client.Options{})
		if err != nil {
			return err
		}
		defer c.Close()
		if _, _, err := c.Push(ctx, pathOf("hello."+zone), record{A: "192.0.2.1", TXT: "This name is there as long as I am."}); err != nil {
			return err
		}
	}
	host, port, _ := net.SplitHostPort(s.address)
	fmt.Printf("Ask:            dig @%s -p %s hello.%s any\n", host, port, zone)
	fmt.Printf("Another name:   bin/vera push %s '{\"a\": \"192.0.2.2\"}' --server %s\n", pathOf("other."+zone), p.URL)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// server answers on one address, over UDP and, for answers that are too large
// for that, TCP.
type server struct {
	address string
	failed  chan error // what ended one of the two
	both    []*dns.Server
}

func listen(address string, h dns.Handler) (*server, error) {
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	address = stream.Addr().String()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	s := &server{address: address, failed: make(chan error, 2), both: []*dns.Server{{Listener: stream, Handler: h}, {PacketConn: packets, Handler: h}}}
	for _, one := range s.both {
		started := make(chan struct{})
		one.NotifyStartedFunc = func() { close(started) }
		go func() { s.failed <- one.ActivateAndServe() }()
		<-started
	}
	return s, nil
}

func (s *server) stop() {
	for _, one := range s.both {
		_ = one.Shutdown() // fails only when it did not run any more
	}
}
