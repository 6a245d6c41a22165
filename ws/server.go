package ws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"vera"
	"vera/ws/socket"
)

// Server serves one peer's clients and its operator.
type Server struct {
	Options
	service vera.Service
	sockets *socket.Group
	jar     *jar
	crowd   *crowd
	metrics *metrics
	encrypt *tls.Config    // of client listeners; nil: plain
	seldom  zerolog.Logger // for what would be logged again and again
	comment time.Duration  // between comments on a stream of events
	scripts map[string]*script

	leaving context.Context // done when this peer goes away
	goAway  context.CancelFunc

	mu     sync.Mutex
	idle   sync.Cond // visits is 0
	visits int
	over   bool
	sites  []*site
}

// site is what one listener serves.
type site struct {
	*Server
	admin    bool
	loopback bool
	secure   *tls.Config
	token    string // needed of everybody; "": none
	http     *http.Server
	listener net.Listener
	anyone   func() // leave for a connection that is counted for no address
}

type guardKey struct{}

// New returns a server of s. It fails with an error that names all that is
// wrong with the options. The server must be closed.
func New(o Options, s vera.Service) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("ws: %w", err)
	}
	v := &Server{Options: o, service: s, jar: newJar(&o), comment: 15 * time.Second, scripts: scriptsOf(o.Scripts)}
	v.idle.L = &v.mu
	v.crowd = newCrowd(&v.Limits)
	v.seldom = o.Logger.Sample(&zerolog.BurstSampler{Burst: 1, Period: 10 * time.Second})
	v.leaving, v.goAway = context.WithCancel(context.Background())
	if o.Certificate != nil {
		v.encrypt = &tls.Config{GetCertificate: o.Certificate, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	}
	var err error
	if v.metrics, err = newMetrics(o.Registerer, func() int { return v.sockets.Len() }); err != nil {
		return nil, fmt.Errorf("ws: metrics: %w", err)
	}
	v.sockets = socket.New(socket.Options{Limits: &v.Limits, Backend: o.Backend, Ended: v.metrics.ended})
	return v, nil
}

// Serve serves clients on l until the server drains or closes; then it returns
// nil. l is closed when it returns.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(l, &site{Server: s, secure: s.encrypt, loopback: isLoopback(l.Addr())})
}

// ServeAdmin serves the operator on l, until the server closes. A listener
// that is not on loopback needs Options.AdminToken.
func (s *Server) ServeAdmin(l net.Listener) error {
	admin := &site{Server: s, admin: true, loopback: isLoopback(l.Addr())}
	if !admin.loopback {
		if s.AdminToken == "" {
			_ = l.Close()
			return fmt.Errorf("ws: admin listener %v: not on loopback, so it needs --admin-token-file", l.Addr())
		}
		admin.token = s.AdminToken
	}
	return s.serve(l, admin)
}

// isLoopback says whether only this machine reaches an address.
func isLoopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

func (s *Server) serve(l net.Listener, at *site) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	at.anyone = func() { at.leave(netip.Addr{}) }
	at.listener, at.http = l, &http.Server{
		Handler:                      at,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               2 * s.Limits.Head, // heads are vetted before
		ErrorLog:                     log.New(debugLog{s.Logger}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guardKey{}, c)
		},
	}
	s.mu.Lock()
	if s.over || !at.admin && s.draining() {
		s.mu.Unlock()
		return l.Close()
	}
	s.sites = append(s.sites, at)
	s.mu.Unlock()
	if err := at.http.Serve(&listener{l, at}); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("ws: %w", err)
	}
	return nil
}

// debugLog takes what net/http has to say about connections.
type debugLog struct{ zerolog.Logger }

// Write logs one line.
func (d debugLog) Write(line []byte) (int, error) {
	d.Debug().Bytes("line", line).Msg("net/http")
	return len(line), nil
}

func (s *Server) draining() bool { return s.leaving.Err() != nil }

// enter counts a visit, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.visits++
	}
	return !s.over
}

func (s *Server) exit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visits--; s.visits == 0 {
		s.idle.Broadcast()
	}
}

func (s *Server) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// all returns the sites of clients, or of the operator.
func (s *Server) all(admin bool) []*site {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.sites), func(at *site) bool { return at.admin != admin })
}

// drained is how much of the time of a drain the sending away takes. The rest
// is for the last ones to answer.
const drained = 0.9

// goingAway is what a client is told that is sent away.
const goingAway = "this peer is going away"

// Leave says that this peer is about to go away, before Drain: it is not ready
// any more, long polls are answered, streams end, and no new connection is let
// in. Those that are open stay.
func (s *Server) Leave() { s.goAway() }

// Drain sends all clients away: no connection is accepted any more, long polls
// are answered, streams end, and the sockets are closed with 1001, the first at
// once and the others evenly over the time until ctx's deadline. It returns when all are gone or ctx is done.
// The admin listener goes on.
func (s *Server) Drain(ctx context.Context) {
	clients := s.all(false)
	for _, at := range clients {
		_ = at.listener.Close()
	}
	s.goAway()
	var over time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		over = time.Duration(float64(time.Until(deadline)) * drained)
	}
	var wg sync.WaitGroup
	for _, at := range clients {
		wg.Go(func() { _ = at.http.Shutdown(ctx) })
	}
	s.sockets.Drain(ctx, over, vera.CloseGoingAway, goingAway)
	wg.Wait()
	s.sockets.Drain(ctx, 0, vera.CloseGoingAway, goingAway) // those that were shaking hands
}

// Close ends everything at once and returns when nothing of the server runs
// any more. Connections are told that they are lost.
func (s *Server) Close() {
	s.goAway()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	for _, at := range append(s.all(false), s.all(true)...) {
		_ = at.http.Close()
	}
	s.sockets.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.visits > 0 {
		s.idle.Wait()
	}
}
