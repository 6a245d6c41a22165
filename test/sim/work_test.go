package sim

import (
	"fmt"
	"time"

	"vera"
	"vera/test/history"
)

// visit is what a guest does until it is stopped.
func (g *guest) visit(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(1+g.random.IntN(80)) * time.Millisecond):
		}
		switch w := g.at(0); {
		case w == nil:
			if g.connect(0) && g.pair && g.at(1) == nil && g.random.IntN(4) > 0 {
				g.connect(1) // before anything is pushed
			}
		case g.stale(w):
			g.haunt(w)
		case g.pair && g.random.IntN(3) == 0:
			g.second()
		default:
			g.do(w)
		}
	}
}

// list is the path of some list.
func (g *guest) list() string { return fmt.Sprint("/data/", g.random.IntN(3)) }

// do does one thing that comes to a guest's mind.
func (g *guest) do(w *wire) {
	if o, is := g.repeat(); is {
		g.push(w, o)
		return
	}
	if g.doubts() {
		g.stray(w)
		return
	}
	path := g.list()
	switch n := g.random.IntN(100); {
	case n < 38:
		g.push(w, g.wish(path, n))
	case n < 52:
		g.edit(w, n < 46)
	case n < 68:
		g.get(w, path)
	case n < 76:
		g.change(w, n < 75)
	case n < 79:
		g.stray(w)
	case n < 89:
		g.ping(w)
	case n < 92:
		g.vanish(w)
	case n < 96:
		g.connect(0) // elsewhere, perhaps
	case n < 97:
		g.leave(w)
	case n < 98:
		g.close(w)
	default:
		g.meet(w)
	}
}

func (g *guest) ping(w *wire) {
	g.await(g.call(w, history.Operation{Action: vera.ActionPing}, watching{}, `"action":"ping"`))
}

// fresh is data that nobody else uses.
func (g *guest) fresh() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serial++
	return fmt.Sprintf(`{"by":%d,"n":%d}`, g.n, g.serial)
}

// wish is something to push.
func (g *guest) wish(path string, n int) history.Operation {
	o := history.Operation{Action: vera.ActionPush, Path: path, Data: g.fresh(), Limit: g.limit()}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case n < 8:
		o.Once = fmt.Sprintf("%d-%d", g.n, g.serial)
	case n < 14:
		o.Conditional, o.IfMatch = true, g.lists[path].ETag
	}
	return o
}

// limit is how many items a guest wants to see.
func (g *guest) limit() int {
	if g.random.IntN(3) > 0 {
		return vera.NoLimit
	}
	return g.random.IntN(3)
}

// repeat is a push with a key that nobody answered.
func (g *guest) repeat() (o history.Operation, is bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.repeats) == 0 {
		return o, false
	}
	o, g.repeats = g.repeats[0], g.repeats[1:]
	if o.Life != g.life {
		return o, false
	}
	return history.Operation{Action: o.Action, Path: o.Path, Data: o.Data, Limit: vera.NoLimit, Once: o.Once}, true
}

// optional are the optional fields of a request, as it is sent.
func optional(o history.Operation) (text string) {
	if o.Limit >= 0 {
		text += fmt.Sprintf(`,"limit":%d`, o.Limit)
	}
	if o.Once != "" {
		text += fmt.Sprintf(`,"once":%q`, o.Once)
	}
	if o.Conditional {
		text += fmt.Sprintf(`,"ifMatch":"%d"`, o.IfMatch)
	}
	if o.Consistent {
		text += `,"consistent":true`
	}
	if o.MinIndex > 0 {
		text += fmt.Sprintf(`,"minIndex":%d`, o.MinIndex)
	}
	if o.Since > 0 {
		text += fmt.Sprintf(`,"since":%d`, o.Since)
	}
	return text
}

// push pushes, and now and then more, without waiting for the answer.
func (g *guest) push(w *wire, o history.Operation) {
	var all []*asked
	for {
		all = append(all, g.call(w, o, watching{}, `"action":"push","path":%q,"data":%s%s`, o.Path, o.Data, optional(o)))
		if g.random.IntN(4) > 0 {
			break
		}
		o = history.Operation{Action: vera.ActionPush, Path: o.Path, Data: g.fresh(), Limit: g.limit()}
	}
	for _, a := range all {
		g.await(a)
	}
}

// edit updates or removes an item that the guest holds.
func (g *guest) edit(w *wire, update bool) {
	g.mu.Lock()
	if len(g.held) == 0 {
		g.mu.Unlock()
		return
	}
	i := g.random.IntN(len(g.held))
	h := g.held[i]
	o := history.Operation{Action: vera.ActionUpdate, Path: h.path, Version: h.version, Limit: g.limit()}
	if !update && g.random.IntN(4) > 0 {
		g.held = append(g.held[:i:i], g.held[i+1:]...)
	}
	if g.random.IntN(5) == 0 {
		o.Conditional, o.IfMatch = true, g.lists[h.path].ETag
	}
	g.mu.Unlock()
	if update {
		o.Data = g.fresh()
		g.await(g.call(w, o, watching{}, `"action":"update","path":%q,"version":%d,"data":%s%s`, o.Path, o.Version, o.Data, optional(o)))
		return
	}
	o.Action = vera.ActionRemove
	g.await(g.call(w, o, watching{}, `"action":"remove","path":%q,"version":%d%s`, o.Path, o.Version, optional(o)))
}

// get reads a list.
func (g *guest) get(w *wire, path string) {
	o := history.Operation{Action: vera.ActionGet, Path: path, Limit: g.limit(), Consistent: g.random.IntN(2) == 0}
	if g.random.IntN(4) == 0 {
		g.mu.Lock()
		o.MinIndex = g.lists[path].Index
		g.mu.Unlock()
	}
	g.await(g.call(w, o, watching{}, `"action":"get","path":%q%s`, path, optional(o)))
}

// watch begins to watch a list. Some guests have one limit for a list, so that
// what a session brings along is known when it moves; others change it.
func (g *guest) watch(w *wire, path string) {
	o := history.Operation{Action: vera.ActionWatch, Path: path, Limit: vera.NoLimit}
	wants, more := g.fixed(path), ""
	if n := (g.n + int(path[len(path)-1])) % 6; n > 3 && !g.pair {
		wants = limited(path, g.random.IntN(4))
	}
	o.Limit = wants.limit()
	if g.random.IntN(3) == 0 {
		wants.Items, more = new(bool), `,"items":false`
	}
	g.mu.Lock()
	if known := g.lists[path]; known.Index > 0 && g.random.IntN(2) == 0 {
		o.Since = known.Index
	}
	if old, is := g.wants[path]; is && old.limit() != o.Limit {
		g.mixed[path] = true
	}
	g.changing(w, path, true)
	g.mu.Unlock()
	g.settled(g.call(w, o, wants, `"action":"watch","path":%q%s%s`, path, optional(o), more))
}

// unwatch watches a list no more.
func (g *guest) unwatch(w *wire, path string) {
	g.mu.Lock()
	g.changing(w, path, false)
	g.mu.Unlock()
	g.settled(g.call(w, history.Operation{Action: vera.ActionUnwatch, Path: path}, watching{}, `"action":"unwatch","path":%q`, path))
}

// fixed is how a list is watched by those who have one limit for it.
func (g *guest) fixed(path string) watching { return limited(path, (g.n+int(path[len(path)-1]))%6%4) }

// limited is a watch with one of the limits there are.
func limited(path string, n int) watching {
	w := watching{Path: path}
	if limit := n - 1; limit > 0 {
		w.Limit = &limit
	}
	return w
}

// changing is called before a watch is changed on a connection. What another one
// is told of the list from now on is not followed: it may know already, or not
// yet. But that of a pair that always asks for the same may be. The guest is
// locked.
func (g *guest) changing(w *wire, path string, watch bool) {
	delete(g.changed, path)
	if g.pair && !watch {
		g.mixed[path] = true
	}
	if !g.pair || g.mixed[path] || g.doubted[path] || g.late {
		g.unfollow(w, path)
	}
}

// doubts says, once, that the guest would rather be elsewhere.
func (g *guest) doubts() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	shaken := g.shaken
	g.shaken = false
	return shaken
}

// stray asks for a watch, or for its end, goes elsewhere and changes its mind
// there: should the first wish still wait for the log, it is too late.
func (g *guest) stray(w *wire) {
	path := g.list()
	for range 6 {
		if g.place(path) != w.place {
			return
		}
		if g.random.IntN(3) == 0 {
			g.unwatch(w, path)
		} else {
			g.watch(w, path)
		}
		g.connect(w.place)
		if w = g.at(w.place); w == nil || g.stale(w) {
			return
		}
	}
}

// settled waits until a change of a watch is answered. One that is not, or is
// refused, may take effect when the guest has asked for another one.
func (g *guest) settled(a *asked) {
	if m, ok := g.await(a); !ok || m.Code != vera.OK {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.doubt(a.wire, a.Path)
	}
}

// vanish loses a connection, of which the server hears a little later; the
// guest may stay away for longer than its grace.
func (g *guest) vanish(w *wire) {
	w.end(end{how: vera.EndedLost, after: time.Duration(g.random.IntN(400)) * time.Millisecond})
	<-w.over
	if g.random.IntN(2) == 0 {
		<-time.After(time.Duration(g.random.IntN(3000)) * time.Millisecond)
	}
}

// leave closes a connection on purpose, which may end the session.
func (g *guest) leave(w *wire) {
	g.mu.Lock()
	last := g.beside(w) == nil
	g.mu.Unlock()
	if last {
		g.leaving(w)
	} else {
		g.parting(w)
	}
	w.end(end{how: vera.EndedClean})
	<-w.over
}

// leaving records that the life may end now.
func (g *guest) leaving(w *wire) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.life != nil {
		g.c.record.Leave(w.life)
	}
}

// parting records that one of two connections is closed on purpose. If the
// other one is lost, and the log hears of both in the other order, the session
// ends as one that was closed.
func (g *guest) parting(w *wire) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.c.record.Part(w.life)
}

// close has the session ended, and returns whether it was, as far as the log
// knew of it.
func (g *guest) close(w *wire) bool {
	g.leaving(w)
	g.mu.Lock()
	w.closes = true
	g.mu.Unlock()
	m, ok := g.await(g.call(w, history.Operation{Action: vera.ActionClose}, watching{}, `"action":"close"`))
	w.end(end{how: vera.EndedClean})
	<-w.over
	return ok && m.Code == vera.OK
}
