package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"vera"
	"vera/actors"
	"vera/raft"
	"vera/ws"
)

// peer is everything that one `vera serve` opened, from the bottom up.
type peer struct {
	config  *config
	log     zerolog.Logger
	metrics *prometheus.Registry
	fatal   chan error // what ends the process; the first one counts

	client, admin net.Listener
	peers         net.Listener // nil: this peer is alone
	certificate   *certificate
	raft          *raft.Raft
	actors        *actors.System
	server        *ws.Server
}

// serve runs one peer until ctx is done, and then sends its clients away. The
// error says what ended it otherwise.
func serve(ctx context.Context, c *config, flags *pflag.FlagSet, s streams) error {
	if err := errors.Join(fill(flags, os.LookupEnv), c.check(), c.readSecrets()); err != nil {
		return usageError{err}
	}
	log, err := newLogger(s.err, c.logLevel, c.logFormat)
	if err != nil {
		return err
	}
	p := &peer{config: c, log: log, metrics: prometheus.NewRegistry(), fatal: make(chan error, 1)}
	p.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := p.rise(ctx); err != nil {
		err = errors.Join(err, p.close())
		if ctx.Err() != nil { // a peer may have waited for others, and is not wanted any more
			log.Info().Err(err).Msg("stopped before it was up")
			return nil
		}
		return err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	if p.certificate != nil {
		go p.certificate.follow(following)
	}
	go trim(following)
	go p.accept(p.client, p.server.Serve)
	go p.accept(p.admin, p.server.ServeAdmin)
	if err := p.announce(s); err != nil {
		return errors.Join(err, p.close())
	}
	return p.wait(ctx)
}

// rise opens everything. It ends before that when ctx is done, or with what ends
// the process.
func (p *peer) rise(ctx context.Context) error {
	rising, stop := context.WithCancel(ctx)
	defer stop()
	opened := make(chan error, 1)
	go func() { opened <- p.open(rising) }()
	select {
	case err := <-opened:
		return err
	case err := <-p.fatal:
		stop()
		<-opened
		return err
	}
}

// open opens the listeners, so that a wrong address is told before anything is
// written, and then the rooms.
func (p *peer) open(ctx context.Context) (err error) {
	c := p.config
	if p.client, err = net.Listen("tcp", c.clientAddr); err != nil {
		return addressError("client-addr", err)
	}
	if p.admin, err = net.Listen("tcp", c.adminAddr); err != nil {
		return addressError("admin-addr", err)
	}
	for _, l := range []net.Listener{p.client, p.admin} {
		early := ws.ServeEarly(l.(*net.TCPListener), p.log)
		defer early.End()
	}
	if c.clustered() {
		if p.peers, err = net.Listen("tcp", cmp.Or(c.peerAddr, defaultPeerAddr)); err != nil {
			return addressError("peer-addr", err)
		}
	}
	if c.tlsCert != "" {
		if p.certificate, err = loadCertificate(c.tlsCert, c.tlsKey, p.log); err != nil {
			return err
		}
	}
	if p.raft, err = raft.Open(ctx, p.raftOptions()); err != nil {
		return err
	}
	if p.actors, err = actors.New(actors.Options{
		Limits: c.limits, Owner: c.ownerShown(), Logger: p.log, Metrics: p.metrics, Fatal: p.fail,
	}, p.raft); err != nil {
		return err
	}
	p.server, err = p.openSockets()
	return err
}

// raftOptions is what the log must know.
func (p *peer) raftOptions() raft.Options {
	c := p.config
	o := raft.Options{
		Dir: c.dataDir, Name: c.name, ClientURL: p.clientURL(),
		Logger: p.log, Metrics: p.metrics, Fatal: p.fail,
		FailoverGrace: c.limits.FailoverGrace, Timeout: c.limits.Leader,
		Heartbeat: c.heartbeat, Election: c.election, Lease: c.lease,
	}
	if p.peers != nil {
		o.PeerListener, o.PeerURL = p.peers, c.peerURL(p.peers)
		o.Secret, o.Join, o.Expect, o.Observer = c.secret, c.join, c.expect, c.observer
	}
	return o
}

// addressError says what to do about an address that can't be listened on.
func addressError(flag string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("--%s: %w\nIs another peer running? Choose another address, such as 127.0.0.1:0", flag, err)
	}
	return fmt.Errorf("--%s: %w", flag, err)
}

// fail has the process end with an error.
func (p *peer) fail(err error) {
	select {
	case p.fatal <- err:
	default:
	}
}

// accept serves a listener until it is closed.
func (p *peer) accept(l net.Listener, serve func(net.Listener) error) {
	if err := serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		p.fail(fmt.Errorf("listener %s: %w", l.Addr(), err))
	}
}

// wait waits for the end, then leaves: nobody new is let in, another peer leads,
// and those who are connected are sent away evenly. A second signal ends that
// at once.
func (p *peer) wait(ctx context.Context) error {
	select {
	case err := <-p.fatal:
		p.log.Error().Err(err).Msg("this peer ends")
		hurried, cancel := context.WithTimeout(context.Background(), farewellFor)
		defer cancel()
		p.server.Drain(hurried) // clients go on at another peer
		p.actors.LogIsLost()
		return errors.Join(err, p.close())
	case <-ctx.Done():
	}
	hurried, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p.server.Leave()
	p.yield(hurried)
	p.log.Info().Stringer("over", p.config.drain).Msg("draining")
	draining, cancel := context.WithTimeout(hurried, p.config.drain)
	defer cancel()
	p.server.Drain(draining)
	if p.raft.Status().Suspended {
		p.actors.LogIsLost() // who left is known when the others are back
	}
	return p.close()
}

// farewellFor bounds the sending away of clients by a peer that must not go on.
const farewellFor = 500 * time.Millisecond

// yieldFor bounds the handing over of leadership; whoever cannot leaves anyway.
const yieldFor = 2 * time.Second

// yield has another peer lead.
func (p *peer) yield(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, yieldFor)
	defer cancel()
	if err := p.raft.Yield(ctx); err != nil {
		p.log.Warn().Err(err).Msg("leadership is not handed over")
	}
}

// close closes the rooms from the top down.
func (p *peer) close() error {
	var errs []error
	if p.server != nil {
		p.server.Close()
	}
	if p.actors != nil {
		p.actors.Close()
	}
	if p.raft != nil {
		errs = append(errs, p.raft.Close())
	}
	for _, l := range []net.Listener{p.client, p.admin, p.peers} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// clientURL is where clients reach this peer.
func (p *peer) clientURL() string {
	if p.config.advertiseClientURL != "" {
		return p.config.advertiseClientURL
	}
	scheme := "http://"
	if p.config.tlsCert != "" {
		scheme = "https://"
	}
	return scheme + p.config.reached(p.client.Addr())
}

// adminURL is where the operator reaches it.
func (p *peer) adminURL() string { return "http://" + p.admin.Addr().String() }

func (c *config) ownerShown() vera.OwnerShown {
	if c.owner == "session" {
		return vera.OwnerSession
	}
	return vera.OwnerAddress
}

// addressesFile is in the data directory and tells scripts where the peer
// listens.
const addressesFile = "addresses.json"

func (p *peer) addressesPath() string { return filepath.Join(p.config.dataDir, addressesFile) }
