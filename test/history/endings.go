package history

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"vera"
)

// promise is a moment until which a life's items were promised to stay: those
// that there were at an index.
type promise struct {
	until time.Duration
	index uint64
	ping  *Operation
}

// promises returns what pings promised, by the life.
func (h *History) promises() map[*Life][]promise {
	all := map[*Life][]promise{}
	for _, o := range h.Operations {
		if o.Life == nil || !o.ok() || o.Answer.SafeMs <= 0 || o.Action != vera.ActionPing && o.Action != vera.ActionSession {
			continue
		}
		// The request arrived after it left.
		until := o.Called.At + time.Duration(o.Answer.SafeMs)*time.Millisecond
		all[o.Life] = append(all[o.Life], promise{until, o.Answer.Index, o})
	}
	return all
}

// checkSafe judges that an item had left when somebody looked. The client may
// have wanted it so; nobody else may, before the time that was promised.
func (c *checker) checkSafe(l *list, s *sighting, p *push) {
	if c.safe == nil {
		c.safe = c.promises()
	}
	if s.seen.At == 0 || p.life.Leaving.Before(s.seen) {
		return
	}
	for _, promised := range c.safe[p.life] {
		if p.version <= promised.index && s.seen.At < promised.until && !l.left(p.version, promised.index) {
			c.violate(LeftTooEarly, append(operations(s), promised.ping), "%s: %s, seen at %v: %d has left, which was to stay until %v", l.path, s, s.seen.At, p.version, promised.until)
			return
		}
	}
}

// left says whether anybody was told that an item had left by an index.
func (l *list) left(version, index uint64) bool {
	return slices.ContainsFunc(l.sightings, func(s *sighting) bool {
		return version <= s.index && s.index <= index && s.shows(version) && find(s.items, version) < 0
	})
}

// checkEndings has, when all is quiet, the same be on every peer, and items and
// live sessions belong together.
func (c *checker) checkEndings() {
	alive := map[string]*Life{}
	known := map[string]bool{}
	for _, l := range c.Lives {
		known[l.Session] = true
		if l.Alive {
			alive[l.Session] = l
		}
	}
	for _, p := range c.Peers {
		c.checkAgreed(p)
		items := map[string][]uint64{}
		for path, l := range p.Lists {
			for _, it := range l.Items {
				items[it.Session] = append(items[it.Session], it.Version)
				if known[it.Session] && alive[it.Session] == nil {
					c.violate(ItemOutlivesSession, nil, "%s holds %d of session %s on %s in the end, and its client is gone", p.Name, it.Version, it.Session, path)
				}
			}
		}
		if p.Holds != nil {
			c.checkHolds(p, items, alive, known)
		}
	}
}

// checkAgreed compares a peer with the first.
func (c *checker) checkAgreed(p Peer) {
	first := c.Peers[0]
	for _, path := range slices.Sorted(maps.Keys(c.lists)) {
		a, b := first.Lists[path], p.Lists[path]
		if a.ETag != b.ETag || !slices.EqualFunc(a.Items, b.Items, same) {
			c.violate(Diverged, nil, "in the end %s has %s with etag %d, %s; and %s etag %d, %s", first.Name, path, a.ETag, describe(a.Items), p.Name, b.ETag, describe(b.Items))
		}
	}
}

func (c *checker) checkHolds(p Peer, items map[string][]uint64, alive map[string]*Life, known map[string]bool) {
	for _, session := range slices.SortedFunc(maps.Keys(known), cmp.Compare) {
		held, lives := p.Holds[session]
		held, listed := slices.Sorted(slices.Values(held)), slices.Sorted(slices.Values(items[session]))
		if !slices.Equal(held, listed) {
			c.violate(HalfItem, nil, "at %s session %s holds %d, and %d are on lists", p.Name, session, held, listed)
		}
		life := alive[session]
		if life == nil && lives {
			c.violate(SessionOutlives, nil, "at %s session %s is there in the end, and its client is gone", p.Name, session)
		}
		if life != nil && !lives && c.pushed(life) {
			c.violate(LiveSessionEnded, nil, "at %s %s is gone in the end, and its client is there", p.Name, life)
		}
	}
}

// pushed says whether a life is known to have been in the log.
func (c *checker) pushed(life *Life) bool {
	return slices.ContainsFunc(c.Operations, func(o *Operation) bool { return o.Life == life && o.Action == vera.ActionPush && o.ok() })
}
