package client

import (
	"cmp"
	"context"
	"iter"
	"time"

	"vera"
)

// watch returns what is known of a list that is watched from now on.
func (c *Client) watch(path string) *watched {
	w := c.watches[path]
	if w == nil {
		w = &watched{path: path}
		c.watches[path] = w
		delete(c.unwatched, path)
	}
	return w
}

// listen makes a link the ears. What it told already is what is known from
// now on.
func (c *Client) listen(l *link) {
	c.ears = l
	for path, told := range l.told {
		if w := c.watches[path]; w != nil {
			w.show(told)
		}
	}
}

// adopt takes note of a watch that the session has: a new link tells of it by
// itself, beginning with a reset.
func (c *Client) adopt(l *link, known Watched) {
	w := c.watches[known.Path]
	if w == nil || w.path == string(vera.PeersPath) || known.Items == nil || *known.Items {
		return
	}
	l.asked[w.path] = &registration{w, noLimit}
	if known.Limit != nil {
		l.asked[w.path].limit = *known.Limit
	}
}

// told takes a notification. A link tells differences to what itself told
// before, so each has a list of its own; those of the ears are shown.
func (c *Client) told(l *link, n Notification) {
	l.heard = c.now()
	w := c.watches[n.Path]
	last := l.told[n.Path]
	if l.stage == left || w == nil || last == nil && n.Items == nil {
		return
	}
	if last == nil {
		last = &list{limit: w.wish()}
		if a := l.asked[n.Path]; a != nil {
			last.limit = a.limit
		}
	}
	w.removed(n.Removed)
	c.tell(l, w, last.after(n))
}

// tell shows what a link told, if it is the ears.
func (c *Client) tell(l *link, w *watched, told *list) {
	l.told[w.path] = told
	if l == c.ears {
		w.show(told)
	}
}

// register asks the ears for what should be watched and is not, and gives up
// what should not be.
func (c *Client) register(now time.Duration) {
	l := c.ears
	if l == nil {
		return
	}
	for path := range c.unwatched {
		delete(c.unwatched, path)
		c.send(l, &ask{request: request{Action: vera.ActionUnwatch, Path: path}, answered: func([]byte, error) {}, lost: func() {
			if c.watches[path] == nil {
				c.unwatched[path] = true
			}
		}})
	}
	for _, w := range c.watches {
		switch {
		case l.asked[w.path].serves(w):
		case now < w.retry:
			c.until(w.retry)
		default:
			c.ask(l, w)
		}
	}
}

// registration is a watch that a link was asked for.
type registration struct {
	watched *watched
	limit   int
}

// serves says whether the watch is the one that is wished for now.
func (a *registration) serves(w *watched) bool {
	return a != nil && a.watched == w && a.limit == w.wish()
}

// ask registers a watch.
func (c *Client) ask(l *link, w *watched) {
	wanted, since := &registration{w, w.wish()}, w.shown
	l.asked[w.path] = wanted
	a := &ask{request: w.request()}
	a.answered = func(answer []byte, refused error) {
		if l.asked[w.path] != wanted {
			return // asked for anew meanwhile
		}
		listing, err := decoded[Listing](answer)
		switch code := codeOf(refused); {
		case refused == nil && err == nil:
			c.watching(l, w, since, listing)
		case code == vera.Unavailable || code == vera.InternalError:
			c.askAgain(l, w)
		case code == vera.SessionEnded:
			c.endLife(nil, "ended")
		default:
			delete(c.watches, w.path)
			delete(l.asked, w.path)
			for _, t := range w.takers {
				t.fail(cmp.Or(refused, err))
			}
		}
	}
	c.send(l, a)
}

// askAgain has a watch registered once more, in a while.
func (c *Client) askAgain(l *link, w *watched) {
	delete(l.asked, w.path)
	w.retry = c.now() + jitter(backoffBound(2))
}

// watching takes the answer to a registration. One without items says that
// the list is as it was known.
func (c *Client) watching(l *link, w *watched, since *list, listing Listing) {
	told := &list{index: listing.Index, etag: listing.ETag, items: listing.Items, total: listing.Total, limit: l.asked[w.path].limit}
	if listing.Items == nil && l.told[w.path] != nil {
		return // told by a reset already
	}
	if listing.Items == nil && since != nil {
		told.items, told.total = since.items, since.total
	}
	c.tell(l, w, told)
	if l == c.ears && w.shown.limit != told.limit {
		c.askAgain(l, w) // this peer is late, and what is shown is narrower than what is wished
	}
}

// unwatch lets a taker go, and the watch with the last of them.
func (c *Client) unwatch(w *watched, t *taker) {
	for i := range w.takers {
		if w.takers[i] == t {
			w.takers = append(w.takers[:i:i], w.takers[i+1:]...)
			break
		}
	}
	if len(w.takers) == 0 && c.watches[w.path] == w {
		delete(c.watches, w.path)
		c.unwatched[w.path] = true
		for _, l := range c.links {
			delete(l.told, w.path) // it is told no more, so it grows old
			delete(l.asked, w.path)
		}
	}
}

// Watch follows a list: first it gives out the list as it is, with all of it
// in Added and Reset set, then what changed since it was asked the last time,
// exactly, however slowly it is asked. Lost connections, other peers and new
// lives of the session do not show. With Limit it sees the first items only;
// with NoItems it is given differences only. It ends with the error of ctx, of
// a server that refuses, or of the client.
//
// Items are shared between all who watch: they must not be changed.
func (c *Client) Watch(ctx context.Context, path string, options ...Option) iter.Seq2[Notification, error] {
	return func(yield func(Notification, error) bool) {
		wanted := request{}
		for _, option := range options {
			option(&wanted)
		}
		f := newFollower(wanted)
		if !c.post(func() { f.begin(c, path) }) {
			yield(Notification{}, c.Err())
			return
		}
		defer c.post(func() { f.end(c) })
		for {
			n, err := f.next(ctx, c)
			if wanted.Items != nil && !*wanted.Items {
				n.Items = nil
			}
			if !yield(n, err) || err != nil {
				return
			}
		}
	}
}

// follower is one iteration of Watch.
type follower struct {
	taker   taker
	watched *watched
	more    chan struct{} // holds a mark when something may be new
	failed  chan error    // holds the end
}

func newFollower(wanted request) *follower {
	f := &follower{more: make(chan struct{}, 1), failed: make(chan error, 1)}
	f.taker = taker{limit: noLimit, news: func(*watched) { mark(f.more) }, fail: func(err error) { f.failed <- err }}
	if wanted.Limit != nil {
		f.taker.limit = max(*wanted.Limit, 0)
	}
	return f
}

func (f *follower) begin(c *Client, path string) {
	f.watched = c.watch(path)
	f.watched.takers = append(f.watched.takers, &f.taker)
	mark(f.more)
}

func (f *follower) end(c *Client) { c.unwatch(f.watched, &f.taker) }

func (f *follower) next(ctx context.Context, c *Client) (n Notification, err error) {
	for {
		select {
		case <-f.more:
		case err := <-f.failed:
			return n, err
		case <-ctx.Done():
			return n, ctx.Err()
		}
		news := false
		if !c.call(func() { n, news = f.taker.take(f.watched) }) {
			return n, c.Err()
		}
		if news {
			return n, nil
		}
	}
}
