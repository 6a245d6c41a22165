package client

import (
	"time"

	"vera"
)

// ping asks links whether they live: those that were silent for long and,
// while something is to be led, all of them, every third of what they promise.
func (c *Client) ping(now time.Duration) {
	every := c.pace()
	for _, l := range c.links {
		if l.stage != ready {
			continue
		}
		due := l.heard + idleMost
		if every > 0 {
			due = min(due, l.pinged+every)
		}
		if l.asleep {
			due = now
		}
		if pinging(l) {
			continue // doubt judges it
		}
		if due > now {
			c.until(due)
			continue
		}
		c.pingLink(l, now)
	}
}

// pinging says whether a ping is on its way.
func pinging(l *link) bool {
	for _, a := range l.under {
		if a.request.Action == vera.ActionPing {
			return true
		}
	}
	return false
}

func (c *Client) pingLink(l *link, now time.Duration) {
	l.pinged = now
	a := &ask{request: request{Action: vera.ActionPing}}
	a.answered = func(answer []byte, refused error) {
		promise, err := decoded[struct {
			SafeMs int64
			Index  uint64
		}](answer)
		if refused == nil && err == nil {
			c.cover(a.sent, time.Duration(promise.SafeMs)*time.Millisecond, promise.Index)
		}
	}
	c.send(l, a)
}

// pace returns how often links are pinged for elections; 0: there are none.
func (c *Client) pace() time.Duration {
	if len(c.elections) == 0 {
		return 0
	}
	return max(c.promised()/3, leastMargin)
}

// promised returns what the last ping was promised; when that was nothing, the
// session's grace.
func (c *Client) promised() time.Duration {
	if c.safeMs > 0 {
		return c.safeMs
	}
	return max(time.Duration(c.shown.session.GraceMs)*time.Millisecond, leastMargin)
}

// cover takes what was promised for all items up to an index, to those
// elections whose item is one of them.
func (c *Client) cover(sent, safe time.Duration, index uint64) {
	if safe > 0 {
		c.safeMs = safe
	}
	for e := range c.elections {
		if e.fence <= index {
			e.cover(sent, safe)
		}
	}
}

// patience returns how long a link may say nothing while it is asked
// something.
func (c *Client) patience(l *link) time.Duration {
	switch {
	case l.asleep:
		return wakeMost
	case len(c.elections) > 0:
		return min(quietMost, max(c.promised(), time.Second/4))
	}
	return quietMost
}

// doubt gives up links that were asked something and said nothing since.
func (c *Client) doubt(now time.Duration) {
	for i := len(c.links) - 1; i >= 0; i-- {
		l := c.links[i]
		if len(l.under) == 0 || l.stage == coming {
			continue
		}
		given := max(l.under[0].sent, l.heard) + c.patience(l)
		if now < given {
			c.until(given)
			continue
		}
		c.drop(l)
		c.avoid(l.place)
	}
}

// woke has all links show that they live, after this process did not run for
// a while. What they said meanwhile has yet to be read.
func (c *Client) woke() {
	for _, l := range c.links {
		l.asleep, l.heard = true, c.now()
	}
}
