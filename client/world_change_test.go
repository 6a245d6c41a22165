package client

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"vera/test/bubble"
)

// list returns a list as everybody sees it. The caller holds mu.
func (w *world) list(path string) []Item {
	if path != "/vera/peers" {
		return w.lists[path]
	}
	var items []Item
	for i, name := range w.names {
		role := "follower"
		if name == w.leader {
			role = "leader"
		}
		data, _ := json.Marshal(map[string]string{"name": name, "client": "http://" + name + ":80", "role": role})
		item := Item{Version: uint64(i + 1), Owner: name, Data: data}
		if role == "leader" {
			items = slices.Insert(items, 0, item)
		} else {
			items = append(items, item)
		}
	}
	return items
}

func (w *world) seen(path string, limit *int) []Item {
	items := w.list(path)
	if limit != nil && len(items) > *limit {
		items = items[:*limit]
	}
	return append([]Item{}, items...)
}

func (g *guest) listing(path string, limit *int) answer {
	return answer{"index": g.world.index, "etag": fmt.Sprint(g.world.index), "items": g.world.seen(path, limit)}
}

func (g *guest) reset(path string) {
	if !g.loud {
		return
	}
	v := g.listing(path, g.life.watches[path].Limit)
	v["action"], v["path"], v["reset"] = "notify", path, true
	g.told[path] = v["items"].([]Item)
	g.say(v)
}

// change does a write. The caller holds mu.
func (g *guest) change(a asked) {
	w := g.world
	i := slices.IndexFunc(w.lists[a.Path], func(item Item) bool { return item.Version == a.Version })
	version := a.Version
	items := slices.Clone(w.lists[a.Path])
	switch a.Action {
	case "push":
		if version = g.life.once[a.Once]; version == 0 {
			w.index++
			version = w.index
			g.life.once[a.Once] = version
			g.life.held = append(slices.Clone(g.life.held), Held{a.Path, version})
			items = append(items, Item{Version: version, Session: g.cookie, Data: a.Data})
		}
	case "update":
		if i < 0 {
			g.answer(a, answer{"code": "NotFound", "message": "gone"})
			return
		}
		w.index++
		items[i].Data, items[i].Updated = a.Data, w.index
	case "remove":
		if i >= 0 {
			w.index++
			items = slices.Delete(items, i, i+1)
			g.life.held = slices.DeleteFunc(slices.Clone(g.life.held), func(h Held) bool { return h.Version == version })
		}
	}
	w.lists[a.Path] = items
	v := g.listing(a.Path, a.Limit)
	v["version"] = version
	g.answer(a, v)
	w.tell(a.Path, "removed")
}

// tell tells everybody who watches a list what became of it. The caller holds
// mu.
func (w *world) tell(path, reason string) {
	for _, g := range w.guests {
		known, watches := g.life.watches[path]
		if !watches || !g.loud {
			continue
		}
		if path == "/vera/peers" {
			g.reset(path)
			continue
		}
		now := w.seen(path, known.Limit)
		added, updated, removed := difference(g.told[path], now, nil)
		for i := range removed {
			removed[i].Reason = reason
		}
		g.told[path] = now
		if len(added)+len(updated)+len(removed) > 0 {
			g.say(answer{"action": "notify", "path": path, "index": w.index, "etag": fmt.Sprint(w.index), "added": added, "updated": updated, "removed": removed})
		}
	}
}

// end ends a session. The caller holds mu.
func (w *world) end(cookie string) {
	over := w.lives[cookie]
	if over == nil {
		return
	}
	delete(w.lives, cookie)
	w.index++
	for _, h := range over.held {
		w.lists[h.Path] = slices.DeleteFunc(slices.Clone(w.lists[h.Path]), func(item Item) bool { return item.Version == h.Version })
		w.tell(h.Path, "ended")
	}
	for _, g := range w.guests {
		if g.life == over {
			go g.socket.Close(4000, "ended")
		}
	}
}

// do runs f while nothing else happens.
func (w *world) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// kill ends a peer: its connections are cut, and it cannot be reached.
func (w *world) kill(name string) {
	w.do(func() {
		w.dead[name] = true
		for _, g := range w.guests {
			if g.peer == name {
				g.killed = true
				g.cut()
			}
		}
	})
}

// lead makes a peer the leader, and tells.
func (w *world) lead(name string) {
	w.do(func() {
		w.leader = name
		w.index++
		w.tell("/vera/peers", "")
	})
}

// suspend tells the clients of a peer whether it lost the majority.
func (w *world) suspend(name, state string) {
	w.do(func() {
		for _, g := range w.guests {
			if g.peer == name {
				g.say(answer{"action": "state", "state": state})
			}
		}
	})
}

// connections returns where clients are: an upper-case name is where they
// listen.
func (w *world) connections() (all []string) {
	synctest.Wait()
	w.do(func() {
		for _, g := range w.guests {
			name := g.peer
			if g.loud {
				name += "!"
			}
			all = append(all, name)
		}
	})
	slices.Sort(all)
	return all
}

// requests returns what was asked of a kind, as "peer data".
func (w *world) requests(action string) (all []string) {
	w.do(func() {
		for _, h := range w.heard {
			if h.Action == action {
				all = append(all, h.peer+" "+string(h.Data))
			}
		}
	})
	return all
}

// data returns a list's data.
func (w *world) data(path string) (all []string) {
	w.do(func() {
		for _, item := range w.lists[path] {
			all = append(all, string(item.Data))
		}
	})
	return all
}

// connect makes a client of the world and waits until it has all that it
// wants. It is closed with the test.
func (w *world) connect(o Options, names ...string) *Client {
	w.t.Helper()
	var urls []string
	for _, name := range names {
		urls = append(urls, "http://"+name)
	}
	c, err := Connect(w.t.Context(), urls, o)
	if err != nil {
		w.t.Fatal(err)
	}
	pass(3 * time.Second)
	return c
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// inWorld runs a test in a world of its own, in fake time.
func inWorld(t *testing.T, names []string, play func(t *testing.T, w *world)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, names...)
		play(t, w)
		w.do(func() {
			for _, g := range w.guests {
				g.cut()
			}
		})
		_ = w.server.Shutdown(context.Background())
		pass(30 * time.Second)
	})
}
