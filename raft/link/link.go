package link

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"vera/raft/sign"
)

// ErrClosed is the error after Close.
var ErrClosed = errors.New("this peer closed its connections with others")

// Options are what New wants. Key and the functions must be given; the
// functions may be called from any goroutine.
type Options struct {
	Key     ed25519.PrivateKey // this peer's; see LoadKey
	Cluster func() string      // the cluster's id; "" while it is not known yet
	Secret  []byte             // the cluster's; of 16 bytes at least, or none: nothing is proven then

	// Trusted says whether a KeyID is a member's.
	Trusted func(key string) bool
	// Call answers a call. Its context ends when the caller leaves or is cut. The
	// error is told to the caller, 1 KiB of it, so it holds no secret.
	Call func(ctx context.Context, from Caller, what string, body []byte) ([]byte, error)
	// Stream takes a stream of a member over, and closes it, then or later.
	Stream func(from, kind string, c net.Conn)

	Logger  zerolog.Logger
	Metrics prometheus.Registerer // nil: nobody looks
	Now     func() time.Time      // the clock that signatures are dated by; nil: time.Now
}

// Caller is who made a call.
type Caller struct {
	Key     string // its KeyID
	Trusted bool   // it is a member
	Proven  bool   // it proved, in this very request, that it knows the secret
}

// Refused is an error that the other peer answered with.
type Refused struct {
	// Status of HTTP: 422 is what Options.Call there said; 401 that this peer is
	// none that it speaks with, or was not proven to be.
	Status  int
	Message string // for people
}

// Error says what the other peer said.
func (r *Refused) Error() string { return r.Message }

// Link is a peer's listener and its way out to others. Its methods may be called
// from any goroutine.
type Link struct {
	o   Options
	id  string // own KeyID
	own tls.Certificate

	sender   *sign.Sender
	receiver *sign.Receiver

	server  *http.Server
	limits  limits
	metrics *metrics
	rarely  zerolog.Logger // for what strangers can bring about
	reads   chan struct{}  // has one for each large body that is read

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	handlers sync.WaitGroup // of requests and streams; Add under mu while not closed
	visitors sync.WaitGroup // of connections that net/http has; Add by Serve's goroutine only
	served   chan struct{}  // closed when Serve returned

	mu        sync.Mutex
	closed    bool
	wires     map[*wire]struct{}
	in        int // of wires: those that came in
	strangers int // of those: those that proved nothing yet
	pools     map[address]*pool
}

// New makes a Link. It must be closed.
func New(o Options) (*Link, error) {
	if len(o.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("a peer's key is an ed25519 key")
	}
	if n := len(o.Secret); n > 0 && n < minSecret {
		return nil, fmt.Errorf("the cluster's secret is of %d bytes: %d at least", n, minSecret)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	id := sign.KeyID(o.Key.Public().(ed25519.PublicKey))
	receiver, err := sign.NewReceiver(id, o.Cluster, o.Now, rand.Reader)
	if err != nil {
		return nil, err
	}
	own, err := certify(o.Key, receiver.Name())
	if err != nil {
		return nil, err
	}
	l := &Link{
		o:        o,
		id:       id,
		own:      own,
		sender:   &sign.Sender{Key: o.Key, Cluster: o.Cluster, Now: o.Now, Rand: rand.Reader},
		receiver: receiver,
		limits:   usual(),
		rarely:   o.Logger.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Minute}),
		reads:    make(chan struct{}, maxReads),
		wires:    map[*wire]struct{}{},
		pools:    map[address]*pool{},
		served:   make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.metrics, err = newMetrics(o.Metrics, l)
	if err != nil {
		l.cancel()
		return nil, err
	}
	return l, nil
}

// KeyID returns this peer's.
func (l *Link) KeyID() string { return l.id }

// Serve answers what comes in by a listener, until Close; then it returns nil.
// It closes the listener. It is called once.
func (l *Link) Serve(listener net.Listener) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return errors.Join(ErrClosed, listener.Close())
	}
	l.server = l.newServer()
	server := l.server
	l.mu.Unlock()
	defer close(l.served)
	err := server.Serve(&door{listener, l, serverTLS(l.own)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("the peer listener: %w", err)
}

func (l *Link) newServer() *http.Server {
	return &http.Server{
		Handler:                      http.HandlerFunc(l.serve),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            l.limits.head,
		IdleTimeout:                  4 * l.limits.keep,
		MaxHeaderBytes:               maxHead - 4096, // net/http adds as much
		TLSNextProto:                 map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:                     log.New(&complaints{l.o.Logger}, "", 0),
		ConnState:                    l.visited,
		BaseContext:                  func(net.Listener) context.Context { return l.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, wireOf{}, c.(*tls.Conn).NetConn())
		},
	}
}

// visited counts the connections that net/http has, from when it takes one until
// it is done with it.
func (l *Link) visited(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.visitors.Add(1)
	case http.StateClosed, http.StateHijacked:
		l.visitors.Done()
	}
}

// complaints is where net/http complains of what strangers send.
type complaints struct{ zerolog.Logger }

func (c *complaints) Write(line []byte) (int, error) {
	c.Debug().Bytes("complaint", line[:min(len(line), maxTold)]).Msg("a connection to the peer listener failed")
	return len(line), nil
}

// Cut ends what is open with peers that Options.Trusted trusts no more, and
// returns when no byte can pass any more. Handlers may still be ending.
func (l *Link) Cut() {
	trusted := map[string]bool{}
	for _, w := range l.open() {
		key := w.key
		if key == "" {
			continue
		}
		if _, asked := trusted[key]; !asked {
			trusted[key] = l.o.Trusted(key)
		}
		if !trusted[key] {
			_ = w.Close()
		}
	}
}

// owned is a connection and whose it was when open looked.
type owned struct {
	*wire
	key string
}

func (l *Link) open() []owned {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]owned, 0, len(l.wires))
	for w := range l.wires {
		all = append(all, owned{w, w.key})
	}
	return all
}

// Close ends everything, and returns when no handler runs any more. It may be
// called again.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	server := l.server
	l.mu.Unlock()
	l.cancel()
	for _, w := range l.open() {
		_ = w.Close()
	}
	if server != nil {
		_ = server.Close() // the listener may be closed already
		<-l.served
	}
	l.visitors.Wait()
	l.handlers.Wait()
	l.metrics.unregister()
	return nil
}

// enter counts a handler in, unless the Link is closed.
func (l *Link) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.handlers.Add(1)
	}
	return !l.closed
}
