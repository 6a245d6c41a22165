package history

import (
	"maps"
	"slices"
	"time"

	"vera"
)

// watch has a client watch a list from now on.
func (w *world) watch(v *visitor, path string) {
	o := Operation{Connection: v.name, Peer: v.peer, Life: v.life, Action: vera.ActionWatch, Path: path, Limit: vera.NoLimit}
	if w.random.IntN(3) == 0 {
		o.Limit = 1 + w.random.IntN(2)
	}
	m := &request{Operation: w.r.Call(o), visitor: v}
	m.index = max(w.peers[v.peer], v.told)
	answer := w.listing(m, m.index)
	v.told = m.index
	w.r.Return(m.Operation, answer)
	for i, old := range v.watches {
		if old.Path == path {
			old.End()
			v.watches = slices.Delete(v.watches, i, i+1)
			break
		}
	}
	begun := w.r.Watch(Watch{Connection: v.name, Path: path, Limit: o.Limit, Answer: &answer})
	v.watches = append(v.watches, &watching{begun, slices.Clone(answer.Items), m.index})
}

// notify has a peer go on, and one of its clients told.
func (w *world) notify() {
	v := w.someone()
	w.peers[v.peer] += uint64(w.random.IntN(int(w.index-w.peers[v.peer]) + 1))
	for _, watch := range v.watches {
		w.tell(v, watch)
	}
}

// tell tells a watcher what changed, if anything did.
func (w *world) tell(v *visitor, watch *watching) {
	index := max(w.peers[v.peer], v.told)
	items, etag := w.listed(watch.Path, index)
	if watch.Limit >= 0 {
		items = items[:min(watch.Limit, len(items))]
	}
	m := Message{Action: vera.ActionNotify, Path: watch.Path, Index: index, ETag: etag, Items: slices.Clone(items)}
	if m.Items == nil {
		m.Items = []Item{}
	}
	for _, it := range items {
		switch i := find(watch.known, it.Version); {
		case i < 0:
			m.Added = append(m.Added, it)
		case !same(watch.known[i], it):
			m.Updated = append(m.Updated, it)
		}
	}
	for _, it := range watch.known {
		if find(items, it.Version) < 0 {
			m.Removed = append(m.Removed, Item{Version: it.Version, Session: it.Session, Reason: w.reason(it)})
		}
	}
	if len(m.Added)+len(m.Updated)+len(m.Removed) == 0 {
		return
	}
	if w.random.IntN(5) == 0 {
		m.Added, m.Updated, m.Removed, m.Reset = nil, nil, nil, true
	}
	if w.random.IntN(2) == 0 && !m.Reset {
		m.Items = nil
	}
	watch.Notified(m)
	watch.known, watch.index, v.told = slices.Clone(items), index, index
}

// reason is why an item left.
func (w *world) reason(it Item) string {
	for _, o := range w.r.h.Operations {
		if o.Action == vera.ActionRemove && o.Version == it.Version {
			return vera.Removed.String()
		}
	}
	for _, v := range w.clients {
		if v.life.Session == it.Session && v.life.Leaving.Seq != 0 {
			return vera.Closed.String()
		}
	}
	return vera.Expired.String()
}

func (w *world) ping() {
	v := w.someone()
	o := w.r.Call(Operation{Connection: v.name, Life: v.life, Action: vera.ActionPing})
	safe := time.Duration(w.random.IntN(400)) * time.Millisecond
	v.safe = max(v.safe, w.at+safe)
	v.told = max(v.told, w.peers[v.peer])
	w.r.Return(o, Message{Code: vera.OK, SafeMs: safe.Milliseconds(), Index: v.told})
}

// ask has a session be told what it holds.
func (w *world) ask() {
	v := w.someone()
	o := w.r.Call(Operation{Connection: v.name, Life: v.life, Action: vera.ActionSession})
	v.told = max(v.told, w.peers[v.peer])
	answer := Message{Code: vera.OK, Index: v.told, Items: []Item{}}
	for _, path := range slices.Sorted(maps.Keys(w.lists)) {
		items, _ := w.listed(path, v.told)
		for _, it := range items {
			if it.Session == v.life.Session {
				answer.Items = append(answer.Items, Item{Path: path, Version: it.Version})
			}
		}
	}
	w.r.Return(o, answer)
}

// lose has a client be lost, and sessions end of those that were lost before.
func (w *world) lose() {
	for _, v := range w.clients {
		if v.lost && v.life.Index == 0 && w.at >= v.safe {
			w.over(v)
			if w.random.IntN(2) == 0 {
				w.r.Over(v.life)
			}
		}
	}
	w.gone(w.someone())
}

// gone has a client be told nothing more.
func (w *world) gone(v *visitor) {
	v.lost = true
	for _, watch := range v.watches {
		watch.End()
	}
}

// over ends a session in the log.
func (w *world) over(v *visitor) {
	w.index++
	v.life.Index = w.index
	for path, items := range w.lists {
		left := slices.DeleteFunc(slices.Clone(items), func(it Item) bool { return it.Session == v.life.Session })
		if len(left) != len(items) {
			w.change(path, left)
		}
	}
}

// leave has a client close its session.
func (w *world) leave() {
	v := w.someone()
	w.r.Leave(v.life)
	o := w.r.Call(Operation{Connection: v.name, Life: v.life, Action: vera.ActionClose})
	w.over(v)
	w.r.Return(o, Message{Code: vera.OK})
	w.r.Over(v.life)
	w.gone(v)
}

// finish has all come to rest.
func (w *world) finish() {
	for len(w.busy) > 0 {
		w.apply()
		w.answer()
	}
	for _, v := range w.clients {
		w.at = max(w.at, v.safe)
	}
	for _, v := range w.clients {
		if v.lost && v.life.Index == 0 {
			w.over(v)
		}
		w.r.Alive(v.life, !v.lost)
	}
	for name := range w.peers {
		w.peers[name] = w.index
	}
	for _, v := range w.clients {
		if v.lost {
			continue
		}
		for _, watch := range v.watches {
			w.tell(v, watch)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.peers)) {
		w.r.Final(w.final(name))
	}
}

func (w *world) final(name string) Peer {
	p := Peer{Name: name, Index: w.index, Lists: map[string]Listed{}, Holds: map[string][]uint64{}}
	for _, v := range w.clients {
		if !v.lost {
			p.Holds[v.life.Session] = nil
		}
	}
	for path, items := range w.lists {
		if len(items) > 0 {
			p.Lists[path] = Listed{w.changed[path], slices.Clone(items)}
		}
		for _, it := range items {
			p.Holds[it.Session] = append(p.Holds[it.Session], it.Version)
		}
	}
	return p
}
