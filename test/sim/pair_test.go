package sim

import (
	"time"

	"vera"
	"vera/test/history"
)

// place says at which of its places a guest changes the watch of a list. A pair
// changes it on one connection, or on what replaced that, and nowhere else: of
// changes on two peers the last counts, and which that is only the log knows.
func (g *guest) place(path string) int {
	if g.pair && (g.n+int(path[len(path)-1]))%3 == 0 {
		return 1
	}
	return 0
}

// follows says how a list is watched of which a connection is told that did not
// ask for it, and whether that is known. A pair has the same limit for a list
// all the time, so that its other connection is told by that from the first
// request on. The guest is locked.
func (g *guest) follows(w *wire, path string) (watching, bool) {
	wants, is := g.wants[path]
	switch {
	case w.life != nil && w.life != g.life:
		return wants, false
	case g.place(path) == w.place:
		return wants, is && !wants.unsure
	case g.late || g.mixed[path] || g.doubted[path]:
		return wants, false
	}
	return g.fixed(path), true
}

// doubt takes note of a change of a watch on a connection that may take effect
// at any time. The guest is locked.
func (g *guest) doubt(w *wire, path string) {
	g.doubted[path] = true
	if g.pair {
		g.unfollow(w, path)
	}
}

// unfollow has what other connections are told of a list not be judged any
// more. The guest is locked.
func (g *guest) unfollow(w *wire, path string) {
	for other, on := range g.told {
		if other == w {
			continue
		}
		if on[path] != nil {
			on[path].End()
		}
		on[path] = nil
	}
}

// second has a pair do something with its second connection.
func (g *guest) second() {
	w := g.at(1)
	if w == nil {
		g.connect(1)
		return
	}
	if g.stale(w) {
		g.haunt(w)
		return
	}
	writes := g.certain()
	switch n := g.random.IntN(100); {
	case n < 30:
		g.meet(w)
	case n < 42:
		g.ping(w)
	case n < 50:
		g.get(w, g.list())
	case n < 62:
		g.change(w, n < 60)
	case n < 72 && writes:
		g.push(w, g.wish(g.list(), n-62))
	case n < 76 && writes:
		g.edit(w, n < 74)
	case n < 84:
		g.glance(g.at(0), w)
	case n < 88:
		g.vanish(w)
	case n < 93:
		g.connect(1) // elsewhere, perhaps
	case n < 95:
		g.leave(w)
	default:
		g.meet(w)
	}
}

// certain says whether the log knows the life.
func (g *guest) certain() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sure
}

// change watches a list whose watch is changed on this connection, or watches
// it no more.
func (g *guest) change(w *wire, watch bool) {
	path, mine := g.list(), false
	for range 6 {
		if mine = g.place(path) == w.place; mine {
			break
		}
		path = g.list()
	}
	switch {
	case !mine:
	case watch:
		g.watch(w, path)
	default:
		g.unwatch(w, path)
	}
}

// glance pushes on one connection and asks on another, in between and right
// behind, what the session holds.
func (g *guest) glance(w, other *wire) {
	if w == nil || g.stale(w) {
		return
	}
	var all []*asked
	for range 1 + g.random.IntN(3) {
		o := g.wish(g.list(), 99)
		all = append(all, g.call(w, o, watching{}, `"action":"push","path":%q,"data":%s%s`, o.Path, o.Data, optional(o)))
		if g.random.IntN(2) == 0 {
			g.await(all[len(all)-1])
		}
		w.wait(time.Duration(g.random.IntN(4)) * time.Millisecond)
		all = append(all, g.call(other, history.Operation{Action: vera.ActionSession}, watching{}, `"action":"session"`))
	}
	for _, a := range all {
		g.await(a)
	}
}

// haunt does something on a connection that was let in in a life that is over:
// nothing of it may be of the next one. In the end the connection is replaced,
// if the server does not close it before.
func (g *guest) haunt(w *wire) {
	switch n := g.random.IntN(10); {
	case n < 3:
		g.meet(w)
	case n < 5:
		g.ping(w)
	case n < 7:
		g.push(w, g.wish(g.list(), 99))
	case n < 8:
		g.get(w, g.list())
	default:
		g.connect(w.place)
	}
}
