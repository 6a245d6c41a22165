package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"vera"
)

const (
	dialMost   = 8 * time.Second  // one try to connect: a server answers only when the log has the session
	dialSlow   = time.Second      // after that another place is tried beside it
	idleMost   = 25 * time.Second // of silence, before a ping asks; not a part of 60 s, so that clients do not fall into step
	quietMost  = 10 * time.Second // without a word while something is asked, before a link is given up
	wakeMost   = 2 * time.Second  // the same, after this machine slept or when others wait for the link
	pressEvery = time.Second / 2  // of silence, before a link is pinged that others wait for
	lateMost   = time.Second      // between when the loop should have run and when it did, before it takes that for sleep
	goodbye    = 5 * time.Second  // for the last words
)

var (
	// ErrClosed says that the Client was closed, or left, by its owner.
	ErrClosed = errors.New("the client is closed")
	// ErrSessionEnded says that the session ended, with all its items. What
	// fails for it is never done again by itself.
	ErrSessionEnded = errors.New("the session ended")
)

// Client is one session, over connections to one or more peers, that goes on
// wherever a peer lives. All its methods may be called from any goroutine. Who
// made it ends it, with Close or Leave.
//
// Its pushes, updates and removals take effect in the order in which they were
// called, and are repeated when a connection is lost, each counting once. One
// that a peer refuses for now, with vera.Unavailable, is repeated too, behind
// those later ones that were on their way already; but no update takes a later
// one of its item back.
// Nothing is ever pushed again in a new life of the session: what was held is
// told to be lost.
type Client struct {
	ctx     context.Context // of dialling; ends with the client
	cancel  context.CancelFunc
	posts   chan func()    // what the loop does next
	over    chan struct{}  // closed when the loop is over
	done    chan struct{}  // closed when all is let go
	running sync.WaitGroup // goroutines but the loop
	shown   shown          // what callers may read

	// What follows belongs to the loop.
	o        Options
	now      func() time.Duration
	atlas    *atlas
	links    []*link
	ears     *link // whose notifications count; nil: none
	writer   *link // that writes went over last
	index    uint64
	safeMs   time.Duration // the last promise of a ping
	failures int           // to connect, in a row
	retry    time.Duration // no link is begun before
	lastly   error         // the last failure
	alarm    time.Duration // when something is to be done at the latest

	writes    []*task
	reads     []*task
	held      map[Held]*Handle
	watches   map[string]*watched
	unwatched map[string]bool // which the session still has to be told
	elections map[*Election]bool
	pushed    time.Duration // when the first push of this life was answered, so that the log has the session; 0: none was
	closing   bool          // its owner ends the session
	final     error         // set when the loop shall end
}

// Connect makes a client of the cluster that these servers belong to: URLs
// as Dial takes them. It waits until the client is connected; an error of ctx
// comes with the last reason why it is not. A server that refuses for good,
// with 400 or 403, ends the client with a *Refused. The options of one
// connection hold for all of them. The context bounds only the waiting.
func Connect(ctx context.Context, servers []string, o Options) (*Client, error) {
	if len(servers) == 0 {
		return nil, vera.Errorf(vera.InvalidParameter, "servers: none given")
	}
	for _, server := range servers {
		if _, err := at(server, "", nil); err != nil {
			return nil, err
		}
	}
	c := newClient(servers, o)
	go c.run()
	for state := range c.States(ctx) {
		if state == StateConnected || state == StateSuspended {
			return c, nil
		}
	}
	if err := c.Err(); err != nil {
		<-c.done
		return nil, err
	}
	c.stop(ErrClosed)
	<-c.done
	return nil, fmt.Errorf("connect: %w", errors.Join(ctx.Err(), c.lastly))
}

func newClient(servers []string, o Options) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		ctx: ctx, cancel: cancel, o: o, now: o.clock, atlas: newAtlas(servers),
		posts: make(chan func()), over: make(chan struct{}), done: make(chan struct{}),
		held: map[Held]*Handle{}, watches: map[string]*watched{}, unwatched: map[string]bool{}, elections: map[*Election]bool{},
	}
	if c.now == nil {
		c.now = elapsed
	}
	c.shown.changed = make(chan struct{})
	w := c.watch(string(vera.PeersPath))
	w.takers = []*taker{{limit: noLimit, news: func(w *watched) { c.atlas.learn(w.shown.items) }, fail: func(error) {}}}
	return c
}

// post has f run on the loop; false when the loop is over. It waits for no
// more than the loop's present step.
func (c *Client) post(f func()) bool {
	select {
	case c.posts <- f:
		return true
	case <-c.over:
		return false
	}
}

// call is post, and waits until f has run.
func (c *Client) call(f func()) bool {
	ran := make(chan struct{})
	if !c.post(func() { defer close(ran); f() }) {
		return false
	}
	<-ran
	return true
}

// run is the loop. It owns the client's state, does one thing after another,
// and waits for none of them.
func (c *Client) run() {
	timer := time.NewTimer(0)
	c.alarm = c.now()
	for c.final == nil {
		select {
		case f := <-c.posts:
			c.missed()
			f()
		case <-timer.C:
			c.missed()
		}
		if c.final == nil {
			c.act()
			timer.Reset(max(c.alarm-c.now(), time.Millisecond))
		}
	}
	timer.Stop()
	c.conclude()
}

// missed finds out that this process did not run when it should have.
func (c *Client) missed() {
	if c.now() > c.alarm+lateMost {
		c.woke()
		c.alarm = c.now()
	}
}

// act does whatever is to be done by now. It can be called at any time.
func (c *Client) act() {
	now := c.now()
	c.alarm = now + time.Hour
	c.doubt(now)
	c.place(now)
	c.register(now)
	c.carry(now)
	c.ping(now)
	c.show()
}

// until has the loop act again at a moment.
func (c *Client) until(moment time.Duration) { c.alarm = min(c.alarm, moment) }

// finish ends the client, once the present step is done.
func (c *Client) finish(err error) {
	if c.final == nil {
		c.final = err
	}
}

// stop ends the client from outside of the loop.
func (c *Client) stop(err error) { c.post(func() { c.finish(err) }) }

// conclude lets everything go, after the loop's last step.
func (c *Client) conclude() {
	c.endElections(c.final)
	for _, t := range slices.Concat(c.writes, c.reads) {
		t.settle(outcome{err: c.final})
	}
	for _, h := range c.held {
		h.lose("closed")
	}
	for _, w := range c.watches {
		for _, t := range w.takers {
			t.fail(c.final)
		}
	}
	c.cancel()
	close(c.over)
	for _, l := range slices.Clone(c.links) {
		c.leave(l)
	}
	c.show()
	c.running.Wait()
	close(c.done)
}

// forGood says whether a server refused in a way that trying again cannot
// mend.
func forGood(err error) bool {
	refused, is := errors.AsType[*Refused](err)
	return is && (refused.Status == http.StatusBadRequest || refused.Status == http.StatusForbidden)
}

// Close ends the session: its items go at once. It returns when everything is
// let go; its error says that the session could not be told, and goes after
// its grace.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	c.call(func() { c.closing = true; c.endElections(ErrClosed) })
	t := &task{request: request{Action: vera.ActionClose}, keep: true}
	_, err := c.submit(ctx, t)
	c.stop(ErrClosed)
	<-c.done
	if errors.Is(err, ErrSessionEnded) || errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// Leave goes away and leaves the session behind, for its grace: whoever has
// its cookie can go on with it. It returns when everything is let go.
func (c *Client) Leave() error {
	c.stop(ErrClosed)
	<-c.done
	return nil
}

// Done is closed when the client is over.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil while the client lives, then why it is over: ErrClosed, or
// what a server refused for good.
func (c *Client) Err() error {
	select {
	case <-c.over:
		return c.final
	default:
		return nil
	}
}
