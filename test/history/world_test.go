package history

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"vera"
)

// world is a cluster that keeps every promise, in the simplest way: one log,
// peers that lag behind it, and clients that are told of both.
type world struct {
	random *rand.Rand
	r      *Recorder
	at     time.Duration

	index   uint64
	lists   map[string][]Item
	changed map[string]uint64
	log     []Change
	peers   map[string]uint64 // what each has applied
	clients []*visitor
	busy    []*request
	data    int
}

// visitor is one client with one connection.
type visitor struct {
	name, peer string
	life       *Life
	told       uint64
	watches    []*watching
	held       []Item // of which it knows
	lost       bool
	safe       time.Duration
}

type watching struct {
	*Watch
	known []Item
	index uint64
}

// request is an operation under way.
type request struct {
	*Operation
	visitor *visitor
	done    bool
	answer  Message
	index   uint64
}

func newWorld(seed uint64) *world {
	w := &world{
		random: rand.New(rand.NewPCG(seed, 1)), r: NewRecorder(), index: 1,
		lists: map[string][]Item{}, changed: map[string]uint64{}, peers: map[string]uint64{"a": 1, "b": 1, "c": 1},
	}
	w.r.clock = func() time.Duration { return w.at }
	for range 4 {
		w.arrive()
	}
	return w
}

// run does so many steps, then lets all be quiet, and returns the history.
func (w *world) run(steps int, complete bool) *History {
	for range steps {
		w.at += time.Duration(w.random.IntN(20)) * time.Millisecond
		switch n := w.random.IntN(100); {
		case n < 35:
			w.call()
		case n < 65:
			w.apply()
		case n < 85:
			w.answer()
		case n < 94:
			w.notify()
		case n < 96:
			w.ping()
			w.ask()
		case n < 98:
			w.lose()
		case n < 99:
			w.leave()
		default:
			w.arrive()
		}
	}
	w.finish()
	if complete {
		w.r.h.Log = append(w.r.h.Log, w.log...)
	}
	return w.r.History(complete)
}

func (w *world) path() string { return "/data/" + strconv.Itoa(w.random.IntN(3)) }

func (w *world) arrive() {
	id := fmt.Sprintf("s%d", len(w.clients))
	v := &visitor{name: "client " + id, peer: string('a' + rune(w.random.IntN(3))), life: w.r.Begin(id)}
	w.clients = append(w.clients, v)
}

// someone is a client that is there.
func (w *world) someone() *visitor {
	for range 20 {
		if v := w.clients[w.random.IntN(len(w.clients))]; !v.lost {
			return v
		}
	}
	w.arrive()
	return w.clients[len(w.clients)-1]
}

// fresh is data that nobody ever used.
func (w *world) fresh() string {
	w.data++
	return fmt.Sprintf(`{"n":%d}`, w.data)
}

func (w *world) call() {
	v := w.someone()
	o := Operation{Connection: v.name, Peer: v.peer, Life: v.life, Path: w.path(), Limit: vera.NoLimit}
	if w.random.IntN(4) == 0 {
		o.Limit = w.random.IntN(3)
	}
	switch n := w.random.IntN(10); {
	case n < 3 || len(v.held) == 0 && n < 6:
		o.Action, o.Data = vera.ActionPush, w.fresh()
		if w.random.IntN(3) == 0 {
			o.Once = o.Data
		}
		w.condition(&o)
	case n < 6:
		it := v.held[w.random.IntN(len(v.held))]
		o.Path, o.Version = it.Path, it.Version
		o.Action, o.Data = vera.ActionUpdate, w.fresh()
		if n == 5 {
			o.Action, o.Data = vera.ActionRemove, ""
		}
		w.condition(&o)
	case n == 6:
		w.watch(v, o.Path)
		return
	default:
		o.Action, o.Consistent = vera.ActionGet, n > 7
	}
	w.busy = append(w.busy, &request{Operation: w.r.Call(o), visitor: v})
}

// condition adds an ifMatch that perhaps holds.
func (w *world) condition(o *Operation) {
	if w.random.IntN(4) == 0 {
		o.Conditional, o.IfMatch = true, w.etag(o.Path, w.lists[o.Path])
	}
}

func (w *world) etag(path string, items []Item) uint64 {
	if len(items) == 0 {
		return 0
	}
	return w.changed[path]
}

// apply has the log take one request, or a read see the list.
func (w *world) apply() {
	m := w.waiting(false)
	if m == nil {
		return
	}
	m.done = true
	if m.Action == vera.ActionGet {
		m.index = max(w.peers[m.Peer], m.visitor.told)
		if m.Consistent {
			m.index = w.index
		}
		m.answer = w.listing(m, m.index)
		return
	}
	w.index++
	m.index = w.index
	m.answer = Message{Code: vera.OK}
	items := w.lists[m.Path]
	i := find(items, m.Version)
	switch over := m.Life.Index != 0; {
	case over:
		m.answer.Code = vera.SessionEnded
		return
	case m.Action == vera.ActionUpdate && i < 0:
		m.answer.Code = vera.NotFound
		return
	case m.Action == vera.ActionRemove && i < 0:
	case m.Conditional && m.IfMatch != w.etag(m.Path, items):
		m.answer.Code = vera.PreconditionFailed
	default:
		w.edit(m, slices.Clone(items), i)
	}
	code, version := m.answer.Code, m.answer.Version
	m.answer = w.listing(m, w.index)
	m.answer.Code, m.answer.Version = code, version
}

func (w *world) edit(m *request, items []Item, i int) {
	switch m.Action {
	case vera.ActionPush:
		it := Item{Version: w.index, Session: m.Life.Session, Data: json.RawMessage(m.Data)}
		items = append(items, it)
		m.answer.Version = w.index
	case vera.ActionUpdate:
		items[i].Updated, items[i].Data = w.index, json.RawMessage(m.Data)
	case vera.ActionRemove:
		items = slices.Delete(items, i, i+1)
	}
	w.change(m.Path, items)
}

func (w *world) change(path string, items []Item) {
	w.lists[path], w.changed[path] = items, w.index
	w.r.seq++
	w.log = append(w.log, Change{Index: w.index, Path: path, Items: items, Seen: Moment{w.r.seq, w.at}})
}

// listing is what an operation is told of its list at an index.
func (w *world) listing(m *request, index uint64) Message {
	items, etag := w.listed(m.Path, index)
	answer := Message{Code: vera.OK, Index: index, ETag: etag, Total: len(items), Items: slices.Clone(items)}
	if m.Limit >= 0 {
		answer.Items = answer.Items[:min(len(items), m.Limit)]
	}
	if answer.Items == nil {
		answer.Items = []Item{}
	}
	return answer
}

// listed is a list as it was at an index.
func (w *world) listed(path string, index uint64) (items []Item, etag uint64) {
	for _, c := range w.log {
		if c.Path == path && c.Index <= index {
			items, etag = c.Items, c.Index
		}
	}
	if len(items) == 0 {
		return nil, 0
	}
	return items, etag
}

// waiting is a request that was done or was not.
func (w *world) waiting(done bool) *request {
	var all []*request
	for _, m := range w.busy {
		if m.done == done {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[w.random.IntN(len(all))]
}

// answer has a client told what became of a request.
func (w *world) answer() {
	m := w.waiting(true)
	if m == nil {
		return
	}
	w.busy = slices.DeleteFunc(w.busy, func(other *request) bool { return other == m })
	v := m.visitor
	if v.lost {
		return
	}
	if m.answer.Items != nil && m.index < v.told { // it has heard of later things
		code, version := m.answer.Code, m.answer.Version
		m.answer = w.listing(m, v.told)
		m.answer.Code, m.answer.Version = code, version
	}
	v.told = max(v.told, m.answer.Index)
	w.peers[v.peer] = max(w.peers[v.peer], v.told, m.index)
	w.r.Return(m.Operation, m.answer)
	if m.Action == vera.ActionPush && m.answer.Code == vera.OK {
		v.held = append(v.held, Item{Path: m.Path, Version: m.answer.Version})
		if m.Once != "" && w.random.IntN(2) == 0 {
			w.again(m)
		}
	}
}

// again repeats a push whose outcome is known, and is told the same.
func (w *world) again(m *request) {
	o := *m.Operation
	o.Returned, o.Answer = Moment{}, Message{}
	repeated := &request{Operation: w.r.Call(o), visitor: m.visitor, done: true}
	if m.Life.Index != 0 {
		repeated.answer = Message{Code: vera.SessionEnded}
	} else {
		w.index++
		repeated.index = w.index
		repeated.answer = w.listing(repeated, w.index)
		repeated.answer.Version = m.answer.Version
	}
	w.busy = append(w.busy, repeated)
}
