package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"vera"
	"vera/test/history"
)

// connect connects to some peer, mostly to one where the guest's other
// connection is not.
func (g *guest) connect(place int) bool {
	name := g.c.names[g.random.IntN(len(g.c.names))]
	if other := g.at(1 - place); other != nil && other.peer.name == name {
		name = g.c.names[g.random.IntN(len(g.c.names))]
	}
	return g.join(g.c.peer(name), place)
}

// join connects to a peer, if it runs, and asks what the guest is there. The
// connection takes the place of another. It returns whether that was so.
func (g *guest) join(p *peer, place int) bool {
	if p == nil {
		return false
	}
	g.mu.Lock()
	g.wires++
	name := fmt.Sprintf("guest %d/%d at %s", g.n, g.wires, p.name)
	hello := vera.Hello{Session: g.id, Offered: g.met, Owner: "10.0.0.1", Grace: g.grace[place], Heartbeat: 10 * time.Second}
	g.met = true
	g.mu.Unlock()
	w := dial(g, p, hello, name, place, rand.New(rand.NewPCG(g.random.Uint64(), 0)))
	if w == nil {
		return false
	}
	g.mu.Lock()
	g.told[w] = map[string]*history.Watch{}
	g.mu.Unlock()
	close(w.ready)
	w.Wake()
	m, ok := g.meet(w)
	if !ok {
		w.end(end{how: vera.EndedLost})
		<-w.over
		return false
	}
	g.mu.Lock()
	old := g.wire[place]
	if _, open := g.told[w]; open {
		g.wire[place] = w
	}
	g.mu.Unlock()
	if old != nil { // whoever has a new connection may close the old one
		how := vera.EndedClean
		if !m.Resumed || g.random.IntN(3) == 0 {
			how = vera.EndedLost
		}
		if how == vera.EndedClean {
			g.parting(old)
		}
		old.end(end{how: how, after: time.Duration(g.random.IntN(300)) * time.Millisecond})
	}
	return true
}

// meet asks who the guest is on a connection.
func (g *guest) meet(w *wire) (history.Message, bool) {
	a := g.call(w, history.Operation{Action: vera.ActionSession}, watching{}, `"action":"session"`)
	m, ok := g.await(a)
	return m, ok && m.Code == vera.OK
}

// at is the connection at a place, or nil.
func (g *guest) at(place int) *wire {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wire[place]
}

// stale says whether a connection was let in in a life that is over, as its
// guest knows, so that its peer will close it.
func (g *guest) stale(w *wire) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return w.life != g.life
}

// beside is another connection of the same life, or nil. The guest is locked.
func (g *guest) beside(w *wire) *wire {
	if other := g.wire[1-w.place]; other != nil && other.life == g.life {
		return other
	}
	return nil
}

// introduced takes what a new connection's first answer says: the same life or
// another. The guest is locked.
func (g *guest) introduced(w *wire, m history.Message, text []byte) {
	r, other := g.c.record, g.beside(w)
	if m.Resumed && g.over {
		g.c.wrong("guest %d went on at %s with a session that is over", g.n, w.name)
	}
	switch {
	case m.Resumed && g.life != nil:
		g.resumed(w, text)
	case other != nil && !g.touched: // what begins, begins for both
	default:
		if g.life != nil && g.sure {
			r.Over(g.life)
			clear(g.doubted)
		} else if g.touched {
			g.late = true
			if other != nil { // nobody knows of which life it will be
				other.end(end{how: vera.EndedLost})
			}
		}
		g.forget()
		g.life = r.Begin(g.id.String())
	}
	w.life = g.life
	w.link = r.Connect(history.Connection{Name: w.name, Peer: w.peer.name, Life: w.life})
}

// resumed takes what is said of the watches that are changed at a connection's
// place. The guest is locked.
func (g *guest) resumed(w *wire, text []byte) {
	var watches struct{ Watches []watching }
	if err := json.Unmarshal(text, &watches); err != nil {
		g.c.wrong("session: %v", err)
	}
	wanted := g.wants
	g.wants = map[string]watching{}
	for path, wants := range wanted {
		if g.place(path) != w.place {
			g.wants[path] = wants
		}
	}
	for _, watch := range watches.Watches {
		if g.place(watch.Path) != w.place {
			continue
		}
		// It was asked for with other options, of which this peer may have yet to hear.
		watch.unsure = watch.limit() != wanted[watch.Path].limit() || g.mixed[watch.Path] || g.doubted[watch.Path]
		g.wants[watch.Path] = watch
	}
}

// dismissed takes note of what the server said when it closed a connection. The
// guest is locked.
func (g *guest) dismissed(w *wire, code vera.CloseCode) {
	if w.link != nil {
		w.link.End(code == vera.CloseEnded)
	}
	switch code {
	case 0, vera.CloseGoingAway, vera.CloseTryLater:
	case vera.CloseEnded:
		if w.life != nil && w.life == g.life && g.sure {
			g.c.record.Over(g.life)
			g.over = true
		}
	case vera.CloseDone:
		if !w.closes {
			g.c.wrong("%s was closed as one that had asked for it", w.name)
		}
	default:
		g.c.wrong("%s was closed with %d", w.name, code)
	}
}
