package client

import (
	"context"
	"slices"
	"sync"
	"time"

	"vera"
)

// phase is how far a link has come.
type phase uint8

const (
	coming   phase = iota // it is being dialled
	greeting              // connected, and asked what the session is
	ready                 // the session is known to be attached here, in the present life
	left                  // given up: what still comes from it counts for nothing
)

// link is one of a client's connections. All but the outbox belongs to the
// client's loop.
type link struct {
	place     *place
	loud      bool
	stage     phase
	began     time.Duration // to be dialled
	peer      string        // who is there, once the session was told
	suspended bool

	connection *Connection
	over       *Closed // it ended before it was known to be there
	outbox     outbox

	under  []*ask                   // on their way, in the order of their sending
	asked  map[string]*registration // the watches that it was asked for, or has by the session, by path
	told   map[string]*list         // what it told last, by path
	heard  time.Duration            // when it last said anything
	pinged time.Duration            // when the last ping was sent
	asleep bool                     // it must show that it lives, soon
}

// id names its peer as well as it is known.
func (l *link) id() string {
	if l.peer != "" {
		return l.peer
	}
	return l.place.id()
}

// busy says whether something is on its way that somebody waits for.
func (l *link) busy() bool {
	return slices.ContainsFunc(l.under, func(a *ask) bool { return a.request.Action != vera.ActionPing })
}

// ask is one request on its way over a link. Its functions run on the loop.
type ask struct {
	request  request
	sent     time.Duration // at the latest: just before it was handed to the sender
	answered func(answer []byte, refused error)
	lost     func() // the link went before an answer came; nil: nobody minds
}

// outbox hands requests from the loop, which never waits, to the goroutine
// that writes them. It holds no more than what is on its way, which callers
// wait for.
type outbox struct {
	mu    sync.Mutex
	queue []*ask
	more  chan struct{} // holds a mark when something was put
}

func (o *outbox) put(a *ask) {
	o.mu.Lock()
	o.queue = append(o.queue, a)
	o.mu.Unlock()
	mark(o.more)
}

func (o *outbox) take() (all []*ask) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all, o.queue = o.queue, nil
	return all
}

// dial begins to make a link.
func (c *Client) dial(p *place, loud bool) {
	now := c.now()
	l := &link{place: p, loud: loud, began: now, heard: now, asked: map[string]*registration{}, told: map[string]*list{}, outbox: outbox{more: make(chan struct{}, 1)}}
	c.links = append(c.links, l)
	o := c.o
	o.Quiet = !loud
	hooks := hooks{
		told:   func(n Notification) { c.post(func() { c.told(l, n) }) },
		stated: func(suspended bool) { c.post(func() { c.stated(l, suspended) }) },
		ended:  func(how *Closed) { c.post(func() { c.ended(l, how) }) },
	}
	c.running.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, dialMost)
		defer cancel()
		connection, err := dialHooked(ctx, p.url, o, hooks)
		if !c.post(func() { c.dialled(l, connection, err) }) && connection != nil {
			connection.Abort()
		}
	})
}

// dialled takes what came of dialling. A link that was given up meanwhile, or
// that is another session's since the client got its cookie elsewhere, is let
// go.
func (c *Client) dialled(l *link, connection *Connection, err error) {
	if err != nil {
		c.undialled(l, err)
		return
	}
	l.connection = connection
	others := slices.ContainsFunc(c.links, func(other *link) bool { return other.stage == greeting || other.stage == ready })
	stranger := others && connection.Cookie() != c.o.Cookie
	switch {
	case l.stage == left || stranger:
		l.stage = coming
		c.drop(l)
		return
	case l.over != nil:
		c.ended(l, l.over)
		return
	}
	c.o.Cookie = connection.Cookie()
	l.stage, l.heard = greeting, c.now()
	c.running.Go(func() { c.sending(l) })
	c.greet(l)
}

// sending writes what the loop wants sent, until the connection is over.
func (c *Client) sending(l *link) {
	for {
		for _, a := range l.outbox.take() {
			_, err := l.connection.send(context.Background(), a.request, func(answer []byte, refused error) {
				c.post(func() { c.answered(l, a, answer, refused) })
			})
			if err != nil { // what was sent is JSON, so it is the connection that failed
				l.connection.Abort()
				return
			}
		}
		select {
		case <-l.outbox.more:
		case <-l.connection.done:
			return
		}
	}
}

// send puts a request on its way. Those of one link go in the order of the
// calls.
func (c *Client) send(l *link, a *ask) {
	a.sent = c.now()
	c.until(a.sent + c.patience(l))
	l.under = append(l.under, a)
	l.outbox.put(a)
}

// answered gives an answer to who asked.
func (c *Client) answered(l *link, a *ask, answer []byte, refused error) {
	l.heard, l.asleep = c.now(), false
	for i, under := range l.under {
		if under == a {
			l.under = append(l.under[:i:i], l.under[i+1:]...)
			a.answered(answer, refused)
			return
		}
	}
}

// stated takes the word that a peer lost the majority, or has it again.
func (c *Client) stated(l *link, suspended bool) {
	l.heard, l.suspended = c.now(), suspended
}

// ended takes a link away that is over.
func (c *Client) ended(l *link, how *Closed) {
	switch l.stage {
	case left:
		return
	case coming: // dialled has not been heard of yet
		l.over = how
		if l.connection == nil {
			return
		}
	}
	was := l.stage
	c.remove(l)
	c.lastly = how
	switch {
	case how.Code == vera.CloseForbidden:
		c.finish(how)
	case how.Code == vera.CloseEnded && was == ready:
		c.endLife(nil, "ended")
	case how.Code == vera.CloseGoingAway || how.Code == vera.CloseTryLater:
		c.avoid(l.place)
		c.retry = c.now() + jitter(awayMost)
	case was != ready || c.now()-l.began < dialSlow: // or it would be tried again and again without a pause
		c.failed(l.place)
	default: // it is made up for at once, elsewhere if that can be
		c.avoid(l.place)
		c.retry = 0
	}
}

// undialled takes the failure to make a link.
func (c *Client) undialled(l *link, err error) {
	gone := l.stage == left
	c.remove(l)
	if gone || c.ctx.Err() != nil {
		return
	}
	c.lastly = err
	if forGood(err) {
		c.finish(err)
		return
	}
	c.failed(l.place)
}

// drop lets a link go without a word. Its session stays for its grace.
func (c *Client) drop(l *link) {
	if l.stage == left {
		return
	}
	c.remove(l)
	if l.connection != nil {
		c.running.Go(l.connection.Abort)
	}
}

// leave says goodbye to a link that is not needed, as one who goes on
// elsewhere. A close on purpose would end the session at once if, unknown to
// this side, no other link of it was left; and what pings over this link have
// promised must hold still.
func (c *Client) leave(l *link) {
	if l.stage == left {
		return
	}
	c.remove(l)
	if l.connection != nil {
		c.running.Go(func() {
			_ = l.connection.Leave() // if it is over already, nothing more is wanted
		})
	}
}

// remove takes a link out of use. What was on its way is told so, in the order
// in which it was sent.
func (c *Client) remove(l *link) {
	l.stage = left
	for i := range c.links {
		if c.links[i] == l {
			c.links = append(c.links[:i:i], c.links[i+1:]...)
			break
		}
	}
	if c.ears == l {
		c.ears = nil
	}
	if c.writer == l {
		c.writer = nil
	}
	under := l.under
	l.under = nil
	for _, a := range under {
		if a.lost != nil {
			a.lost()
		}
	}
}

// failed counts a failure of a place, and of all.
func (c *Client) failed(p *place) {
	p.failures++
	p.retry = c.now() + jitter(backoffBound(p.failures))
	c.failures++
	c.retry = c.now() + jitter(backoffBound(c.failures))
}

// avoid has other places tried first: this one has just been lost.
func (c *Client) avoid(p *place) {
	p.failures++
	p.retry = c.now() + backoffStep
}
