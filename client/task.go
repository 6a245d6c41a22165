package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vera"
)

// task is something that callers want of the cluster, on whichever link, as
// often as it takes. It belongs to the loop.
type task struct {
	request request
	handle  *Handle // of an update or a removal
	keep    bool    // it is done even when nobody waits for it any more
	clean   bool    // of a push: the item goes if nobody waits for it any more, since nobody else knows its key
	waiters []chan outcome

	on    *link         // where it is under way; nil: it waits
	doubt bool          // it may have been done already: its link was lost
	tries int           // that came to nothing
	retry time.Duration // it is not sent again before
}

// outcome is what became of a task.
type outcome struct {
	listing Listing
	handle  *Handle
	err     error
}

// reads says whether the task changes nothing.
func (t *task) reads() bool { return t.request.Action == vera.ActionGet }

// needed says whether anybody still needs the task done, or to know whether it
// was.
func (t *task) needed() bool { return len(t.waiters) > 0 || t.keep || t.clean && t.doubt }

// settle tells those who wait.
func (t *task) settle(o outcome) {
	for _, w := range t.waiters {
		w <- o
	}
	t.waiters = nil
}

// sessionEnded is what a task fails with whose session ended around it.
func sessionEnded() error {
	return fmt.Errorf("%w: %w", ErrSessionEnded, &vera.Error{Code: vera.SessionEnded, Message: "it may or may not have been done before", Applied: vera.AppliedUnknown})
}

// codeOf returns the code of a refusal, "" when it is none.
func codeOf(err error) vera.Code {
	if refused, is := errors.AsType[*vera.Error](err); is {
		return refused.Code
	}
	return ""
}

// submit has a task done, and waits for what becomes of it.
func (c *Client) submit(ctx context.Context, t *task) (outcome, error) {
	result := make(chan outcome, 1)
	if err := ctx.Err(); err != nil && !t.keep {
		return outcome{}, err
	}
	if !c.post(func() { c.enqueue(t, result) }) {
		return outcome{}, c.Err()
	}
	select {
	case o := <-result:
		return o, o.err
	case <-ctx.Done():
	}
	if !c.call(func() { c.abandon(t, result) }) {
		return outcome{}, c.Err()
	}
	select {
	case o := <-result: // it came just now
		return o, o.err
	default:
		return outcome{}, ctx.Err()
	}
}

// enqueue puts a task behind all earlier ones of its kind. An update that waits
// for the same item is not sent any more: its callers get this one's answer.
// Whoever leads by an item has stopped before its removal can be sent.
func (c *Client) enqueue(t *task, waiters ...chan outcome) {
	t.waiters = append(t.waiters, waiters...)
	if c.closing && t.request.Action != vera.ActionClose {
		t.settle(outcome{err: ErrClosed})
		return
	}
	if t.reads() {
		c.reads = append(c.reads, t)
		return
	}
	if t.handle != nil && t.handle.reason != "" {
		t.settle(t.handle.gone(t))
		return
	}
	if t.request.Action == vera.ActionUpdate && t.request.IfMatch == nil {
		c.writes = slices.DeleteFunc(c.writes, func(old *task) bool { return old.on == nil && old.yields(t) })
	}
	if t.request.Action == vera.ActionRemove {
		t.handle.removing = true
		c.endElectionsOf(t.handle, ErrResigned)
	}
	c.writes = append(c.writes, t)
}

// yields has an update's callers wait for a newer one of the same item instead;
// false if they can't, since one of them depends on an etag.
func (t *task) yields(newer *task) bool {
	for _, update := range []*task{t, newer} {
		if update.request.Action != vera.ActionUpdate || update.request.IfMatch != nil || update.handle != newer.handle {
			return false
		}
	}
	newer.waiters = append(newer.waiters, t.waiters...)
	return true
}

// abandon takes a caller's wish back. What is under way goes on.
func (c *Client) abandon(t *task, result chan outcome) {
	for _, all := range [][]*task{c.writes, c.reads} {
		for _, other := range all {
			other.waiters = slices.DeleteFunc(other.waiters, func(w chan outcome) bool { return w == result })
		}
	}
	c.writes = slices.DeleteFunc(c.writes, func(t *task) bool { return t.on == nil && !t.needed() })
	c.reads = slices.DeleteFunc(c.reads, func(t *task) bool { return len(t.waiters) == 0 })
}

// carry sends what waits: reads to the ears, writes to the leader's link or
// the next best. Writes change their way only when nothing of them is under
// way on the old one, so that none overtakes another.
func (c *Client) carry(now time.Duration) {
	if l := c.reader(); l != nil {
		for _, t := range c.reads {
			if t.on == nil && c.due(t, now) {
				c.begin(l, t)
			}
		}
	}
	l := c.way()
	if l == nil {
		return
	}
	under := slices.ContainsFunc(c.writes, func(t *task) bool { return t.on != nil })
	if c.writer != l && c.writer != nil && under {
		c.press(c.writer, l, now)
		return
	}
	c.writer = l
	for _, t := range c.writes {
		if t.on != nil {
			continue
		}
		if !c.due(t, now) {
			return
		}
		c.begin(l, t)
	}
}

// press has a link show soon that it lives, since a better one is there and
// waits for its answers: they may be those of a peer that stands still. One
// whose peer says that it can do nothing now is given up, unless an update is
// under way: that peer may do it yet, and must not after a later one.
func (c *Client) press(l, better *link, now time.Duration) {
	update := slices.ContainsFunc(c.writes, func(t *task) bool { return t.on == l && t.request.Action == vera.ActionUpdate })
	switch {
	case l.suspended && !better.suspended && !update:
		c.leave(l)
		c.avoid(l.place)
		c.until(now)
	case now < l.heard+pressEvery:
		c.until(l.heard + pressEvery)
	case !l.asleep:
		l.asleep, l.heard = true, now
	}
}

func (c *Client) due(t *task, now time.Duration) bool {
	if t.retry > now {
		c.until(t.retry)
	}
	return t.retry <= now
}

// reader returns the link that reads go over.
func (c *Client) reader() *link {
	if c.ears != nil {
		return c.ears
	}
	return c.best(func(l *link) int { return 0 })
}

// way returns the link that writes should go over.
func (c *Client) way() *link {
	leader := c.atlas.leader()
	return c.best(func(l *link) int {
		switch {
		case l.id() == leader:
			return 2
		case l == c.ears:
			return 1
		}
		return 0
	})
}

// best returns the ready link of the highest rank, one that is in touch with
// the majority before all others.
func (c *Client) best(rank func(*link) int) (best *link) {
	most := -1
	for _, l := range c.links {
		r := rank(l)
		if !l.suspended {
			r += 4
		}
		if l.stage == ready && r > most {
			best, most = l, r
		}
	}
	return best
}

// begin sends a task over a link.
func (c *Client) begin(l *link, t *task) {
	t.on = l
	r := t.request
	if t.reads() && r.MinIndex == 0 {
		r.MinIndex = c.index
	}
	c.send(l, &ask{
		request:  r,
		answered: func(answer []byte, refused error) { c.finished(t, answer, refused) },
		lost:     func() { c.interrupted(t) },
	})
}

// interrupted has a task sent again whose link was lost. One that depends on
// an etag is not done twice, since its own first doing would refuse it.
func (c *Client) interrupted(t *task) {
	t.on = nil
	if t.reads() {
		return
	}
	t.doubt = true
	if !t.needed() {
		c.settle(t, outcome{})
	}
	if t.request.IfMatch != nil && t.request.Action != vera.ActionPush {
		c.settle(t, outcome{err: &vera.Error{Code: vera.Unavailable, Message: "the connection was lost before the answer, and with ifMatch it cannot be repeated", Applied: vera.AppliedUnknown}})
	}
}

// settle tells what became of a task and forgets it.
func (c *Client) settle(t *task, o outcome) {
	same := func(other *task) bool { return other == t }
	c.writes, c.reads = slices.DeleteFunc(c.writes, same), slices.DeleteFunc(c.reads, same)
	t.settle(o)
}

// finished takes the answer to a task.
func (c *Client) finished(t *task, answer []byte, refused error) {
	t.on = nil
	var o outcome
	if answer != nil {
		var wrong error
		o.listing, wrong = decoded[Listing](answer)
		refused = cmp.Or(refused, wrong)
	}
	o.err = refused
	c.index = max(c.index, o.listing.Index)
	switch codeOf(refused) {
	case vera.Unavailable:
		if c.again(t, refused) {
			return
		}
	case vera.SessionEnded:
		if !t.reads() {
			t.doubt = true
			c.endLife(nil, "ended")
			return
		}
	case vera.NotFound:
		if t.handle != nil {
			c.lose(t.handle, "expired")
		}
	}
	if refused == nil {
		c.achieved(t, &o)
	} else if t.request.Action == vera.ActionRemove {
		t.handle.removing = false
	}
	c.settle(t, o)
}

// again puts a task off that could not be done in time. What depends on an
// etag and may have been done cannot be repeated.
func (c *Client) again(t *task, refused error) bool {
	e, _ := errors.AsType[*vera.Error](refused)
	if !t.reads() && e.Applied != vera.AppliedNo {
		if t.request.IfMatch != nil && t.request.Action != vera.ActionPush {
			return false
		}
		t.doubt = true
	}
	if !t.needed() {
		return false
	}
	place := slices.Index(c.writes, t)
	if slices.ContainsFunc(c.writes[place+1:], t.yields) { // it is on its way already, and would be taken back by this one
		c.writes = slices.Delete(c.writes, place, place+1)
		return true
	}
	t.tries++
	t.retry = c.now() + jitter(backoffBound(t.tries))
	return true
}

// achieved is what a task that was done means for the items that are held.
func (c *Client) achieved(t *task, o *outcome) {
	switch t.request.Action {
	case vera.ActionPush:
		if c.pushed == 0 {
			c.pushed = c.now()
		}
		held := Held{t.request.Path, o.listing.Version}
		h := c.held[held]
		if h == nil {
			h = &Handle{client: c, path: held.Path, version: held.Version, lost: make(chan struct{})}
			c.held[held] = h
		}
		o.handle = h
		if len(t.waiters) == 0 && t.clean {
			c.enqueue(h.removal())
		}
	case vera.ActionRemove:
		c.lose(t.handle, "removed")
	}
}
