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
		if w := g.current(); w == nil {
			g.connect()
		} else {
			g.do(w)
		}
	}
}

func (g *guest) current() *wire {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wire
}

// do does one thing that comes to a guest's mind.
func (g *guest) do(w *wire) {
	if o, is := g.repeat(); is {
		g.push(w, o)
		return
	}
	path := fmt.Sprint("/data/", g.random.IntN(3))
	if g.doubts() {
		g.stray(w, path)
		return
	}
	switch n := g.random.IntN(100); {
	case n < 38:
		g.push(w, g.wish(path, n))
	case n < 52:
		g.edit(w, n < 46)
	case n < 68:
		g.get(w, path)
	case n < 75:
		g.watch(w, path)
	case n < 76:
		g.unwatch(w, path)
	case n < 79:
		g.stray(w, path)
	case n < 89:
		g.await(g.call(w, history.Operation{Action: vera.ActionPing}, watching{}, `"action":"ping"`))
	case n < 92:
		g.vanish(w)
	case n < 96:
		g.connect() // elsewhere, perhaps
	case n < 97:
		g.leave(w)
	case n < 98:
		g.close(w)
	default:
		g.meet(w)
	}
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
	wants, more := watching{Path: path}, ""
	n := (g.n + int(path[len(path)-1])) % 6
	if n > 3 {
		n = g.random.IntN(4)
	}
	if n > 1 {
		o.Limit = n - 1
		wants.Limit = &o.Limit
	}
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
	g.changing(w, path)
	g.mu.Unlock()
	g.settled(g.call(w, o, wants, `"action":"watch","path":%q%s%s`, path, optional(o), more))
}

// unwatch watches a list no more.
func (g *guest) unwatch(w *wire, path string) {
	g.mu.Lock()
	g.changing(w, path)
	g.mu.Unlock()
	g.settled(g.call(w, history.Operation{Action: vera.ActionUnwatch, Path: path}, watching{}, `"action":"unwatch","path":%q`, path))
}

// changing is called before a watch is changed on a connection. What another one
// is told of the list from now on is not followed: it may know already, or not
// yet. The guest is locked.
func (g *guest) changing(w *wire, path string) {
	delete(g.changed, path)
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
func (g *guest) stray(w *wire, path string) {
	for range 6 {
		if g.random.IntN(3) == 0 {
			g.unwatch(w, path)
		} else {
			g.watch(w, path)
		}
		g.connect()
		if w = g.current(); w == nil {
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
		g.doubted[a.Path] = true
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
	g.leaving()
	w.end(end{how: vera.EndedClean})
	<-w.over
}

// leaving records that the life may end now.
func (g *guest) leaving() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.life != nil {
		g.c.record.Leave(g.life)
	}
}

// parting records that one of two connections is closed on purpose. If the
// other one is lost, and the log hears of both in the other order, the session
// ends as one that was closed.
func (g *guest) parting() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.c.record.Part(g.life)
}

// close has the session ended.
func (g *guest) close(w *wire) {
	g.leaving()
	g.await(g.call(w, history.Operation{Action: vera.ActionClose}, watching{}, `"action":"close"`))
	w.end(end{how: vera.EndedClean})
	<-w.over
}
