package client

import (
	"slices"
	"time"

	"vera"
)

// greet asks a new link what the session is, before anything else.
func (c *Client) greet(l *link) {
	a := &ask{request: request{Action: vera.ActionSession}}
	a.answered = func(answer []byte, refused error) {
		s, err := decoded[Session](answer)
		if refused != nil || err != nil {
			c.drop(l)
			c.failed(l.place)
			return
		}
		c.greeted(l, a.sent, s)
	}
	c.send(l, a)
}

// greeted takes what the session is by the word of a new link.
func (c *Client) greeted(l *link, sent time.Duration, s Session) {
	if c.lapsed(l, s) {
		c.endLife(l, "expired")
	}
	l.stage, l.peer = ready, s.Peer
	l.place.peer, l.place.failures = s.Peer, 0
	c.failures, c.retry, c.lastly = 0, 0, nil
	c.shown.mu.Lock()
	c.shown.session = s
	c.shown.mu.Unlock()
	if l.loud && !c.o.Local {
		for _, known := range s.Watches {
			c.adopt(l, known)
		}
	}
	c.cover(sent, time.Duration(s.SafeMs)*time.Millisecond, s.Index)
}

// lapsed says whether the life of the session that this client knew is over,
// by what a new link was told of it: something that it held is not there; or
// the session is a new one while something is under way that may have been done
// in the old one, and no link was left that could have kept that, or it was
// there before the new link was begun, which then would have found it.
func (c *Client) lapsed(l *link, s Session) bool {
	for held, h := range c.held {
		if h.version <= s.Index && !h.removing && !slices.Contains(s.Items, held) {
			return true
		}
	}
	kept := c.standing() > 0 && (c.pushed == 0 || l.began < c.pushed)
	if s.Resumed || kept {
		return false
	}
	return slices.ContainsFunc(c.writes, func(t *task) bool { return t.doubt })
}

// endLife takes the end of the session's life: all that was held is lost, and
// what may have been done in it is not done again. Links that were made in it
// are let go, but for the one that brought the news.
func (c *Client) endLife(but *link, reason string) {
	if c.closing {
		reason = "closed"
	}
	c.endElections(ErrSessionEnded)
	over := sessionEnded()
	for _, t := range slices.Clone(c.writes) {
		switch {
		case t.on != nil || t.doubt, t.request.Action == vera.ActionUpdate:
			c.settle(t, outcome{err: over})
		case t.request.Action == vera.ActionRemove:
			c.settle(t, outcome{}) // it is gone
		}
	}
	for _, h := range c.held {
		h.lose(reason)
	}
	clear(c.held)
	clear(c.unwatched)
	c.pushed = 0
	for _, l := range slices.Clone(c.links) {
		if l != but {
			c.drop(l)
		}
	}
	c.retry = c.now() + jitter(backoffStep)
}

// place begins the links that should be there and gives up those that need
// not.
func (c *Client) place(now time.Duration) {
	s := c.scene(now)
	parts := s.cast()
	if c.chooseEars(parts); len(parts) == 0 && now < c.retry {
		c.until(c.retry)
	}
	for _, p := range s.missing(parts) {
		if now < c.retry {
			c.until(c.retry)
			break
		}
		if c.o.Cookie == "" && slices.ContainsFunc(s.links, func(l standing) bool { return !l.slow }) {
			break // a second one would be another session
		}
		if at := c.atlas.find(p.peer, c.dialling); at != nil {
			c.dial(at, p.loud)
			s = c.scene(now)
		}
	}
	links := slices.Clone(c.links)
	for _, i := range s.surplus(parts) {
		if links[i] != c.ears && !links[i].busy() {
			c.leave(links[i])
		}
	}
	for _, l := range c.links {
		if l.stage != ready && now < l.began+dialSlow {
			c.until(l.began + dialSlow)
		}
	}
	for _, p := range c.atlas.places {
		if p.retry > now {
			c.until(p.retry)
		}
	}
}

// dialling says whether a link is being made to a place: one at a time is.
func (c *Client) dialling(p *place) bool {
	return slices.ContainsFunc(c.links, func(l *link) bool { return l.place == p && l.stage != ready })
}

// scene is how things stand, as roles sees them.
func (c *Client) scene(now time.Duration) *scene {
	s := &scene{want: c.atlas.want(c.o.Connections), leader: c.atlas.leader()}
	for _, l := range c.links {
		s.links = append(s.links, standing{
			peer: l.id(), loud: l.loud, ready: l.stage == ready, suspended: l.suspended,
			slow: l.stage != ready && now >= l.began+dialSlow,
		})
	}
	for _, peer := range c.atlas.open(now, len(s.links) == 0) {
		if c.atlas.find(peer, c.dialling) != nil {
			s.open = append(s.open, peer)
		}
	}
	return s
}

// chooseEars listens to the link that is cast for it as soon as it is ready,
// and to another one that has notifications until then.
func (c *Client) chooseEars(parts []part) {
	best, rank := c.ears, 1
	for _, l := range c.links {
		switch {
		case l.stage != ready || !l.loud:
		case l != c.ears && len(parts) > 0 && l.id() == parts[0].peer && (c.ears == nil || c.ears.id() != parts[0].peer):
			best, rank = l, 2
		case best == nil && rank < 2:
			best = l
		}
	}
	if best != nil && best != c.ears {
		c.listen(best)
	}
}
