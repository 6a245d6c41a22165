package sim

import (
	"fmt"
	"slices"
	"time"

	"vera"
	"vera/test/history"
)

// finish ends a visit: the guest stays, or closes, or is lost.
func (g *guest) finish(stays, closes bool) {
	if stays {
		g.stays = true
		g.settle()
		return
	}
	for place := range g.wire {
		w := g.at(place)
		switch {
		case w == nil:
		case closes && !g.stale(w):
			g.dismiss(w)
		case !g.stale(w):
			w.end(end{how: vera.EndedLost})
			<-w.over
		}
	}
}

// dismiss closes the session on one connection. If the log knew of it, the other
// one is sent away too.
func (g *guest) dismiss(w *wire) {
	sure, other := g.certain(), g.at(1-w.place)
	closed := g.close(w)
	if other == nil {
		return
	}
	if !sure || !closed {
		other.end(end{how: vera.EndedLost})
	}
	select {
	case <-other.over:
	case <-time.After(5 * time.Second):
		g.c.wrong("%s is there 5 s after its session was closed on %s", other.name, w.name)
	}
}

// settle has a guest be connected and served, now that all is well.
func (g *guest) settle() {
	for range 100 {
		w := g.at(0)
		if w == nil && g.connect(0) {
			w = g.at(0)
		}
		if w != nil {
			o := history.Operation{Action: vera.ActionPush, Path: "/data/0", Data: g.fresh(), Limit: vera.NoLimit}
			m, ok := g.await(g.call(w, o, watching{}, `"action":"push","path":%q,"data":%s`, o.Path, o.Data))
			if ok && m.Code == vera.OK {
				if g.pair && g.at(1) == nil {
					g.connect(1)
				}
				return
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	g.c.wrong("guest %d could not push for long after all was healed", g.n)
}

// confirm has a guest that stays be there, in the life that it knows, on each of
// its connections; and nobody else.
func (g *guest) confirm() {
	for place := range g.wire {
		w := g.at(place)
		switch {
		case w == nil && g.stays && place == 0:
			g.c.wrong("guest %d is not connected when all is quiet", g.n)
		case w == nil:
		case !g.stays || g.stale(w):
			g.c.wrong("%s is there when all is quiet, and its session is over", w.name)
		default:
			g.served(w)
		}
	}
	if g.stays {
		g.c.record.Alive(g.life, true)
	}
}

// served has a connection be told what is, and of every list that its session
// watches.
func (g *guest) served(w *wire) {
	o := history.Operation{Action: vera.ActionGet, Path: "/data/0", Limit: vera.NoLimit, Consistent: true}
	if m, ok := g.await(g.call(w, o, watching{}, `"action":"get","path":%q%s`, o.Path, optional(o))); !ok || m.Code != vera.OK {
		g.c.wrong("%s could not read: %+v", w.name, m)
	}
	if m, ok := g.meet(w); !ok {
		g.c.wrong("%s was not told what it is: %+v", w.name, m)
	}
	g.agreed(w)
	g.mu.Lock()
	defer g.mu.Unlock()
	for path, wants := range g.wants {
		if _, told := g.told[w][path]; !told && !wants.unsure {
			g.c.wrong("%s was never told of %s, which its session watches", w.name, path)
		}
	}
}

// agreed has every peer know what the guest asked for last on its connection:
// nothing that it asked for elsewhere before has taken its place.
func (g *guest) agreed(w *wire) {
	var differs string
	for range 50 {
		if differs = g.differs(w); differs == "" {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	g.c.wrong("%s: %s", w.name, differs)
}

// differs says what a peer has that the guest did not ask for, or the other way
// round; "" when there is nothing.
func (g *guest) differs(w *wire) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for path, on := range g.changed {
		if on != w || g.doubted[path] {
			continue
		}
		want, wanted := g.wants[path]
		for _, name := range g.c.names {
			p := g.c.peer(name)
			if p == nil {
				continue
			}
			s := p.raft.Machine().Session(g.id)
			if s == nil && wanted {
				return name + " does not know the session"
			}
			if s == nil {
				continue
			}
			i := slices.IndexFunc(s.Watches(), func(v vera.Watched) bool { return string(v.Path) == path })
			if wanted != (i >= 0) || wanted && s.Watches()[i].Limit != want.limit() {
				return fmt.Sprintf("wants %s: %v with limit %d; %s has %+v", path, wanted, want.limit(), name, s.Watches())
			}
		}
	}
	return ""
}
