package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"vera"
	"vera/test/history"
)

// guest is one client with one session. It speaks on one connection at a time;
// a pair has a second one beside that.
type guest struct {
	c      *cluster
	n      int
	random *rand.Rand // of its own goroutine
	id     vera.SessionID
	grace  [2]time.Duration // which each of its connections asks for
	pair   bool

	mu      sync.Mutex
	wire    [2]*wire // the connections that it has, by their places; nil: none
	wires   int
	rids    int
	serial  int
	met     bool // it was connected before
	life    *history.Life
	touched bool // something was asked for that the log may know
	sure    bool // the log knows the life
	over    bool // the life is over
	late    bool // what was asked for in a life that perhaps began may yet begin one
	asked   map[string]*asked
	held    []held
	lists   map[string]history.Message // as it last knew them in full
	wants   map[string]watching        // what its session watches
	changed map[string]*wire           // on which a list's watch, or its end, was last asked for and answered
	mixed   map[string]bool            // lists that were watched in more than one way
	doubted map[string]bool            // lists of which such a request was not answered: it may take effect at any time
	told    map[*wire]map[string]*history.Watch
	repeats []history.Operation // pushes that nobody answered
	stays   bool                // to the end
	shaken  bool                // its peer is cut off
}

// asked is a request under way.
type asked struct {
	*history.Operation
	wire    *wire
	options watching
	answer  chan history.Message
}

type held struct {
	path    string
	version uint64
}

// watching is how a list is watched.
type watching struct {
	Path   string
	Limit  *int
	Items  *bool
	unsure bool // nobody knows
}

func (w watching) limit() int {
	if w.Limit == nil {
		return vera.NoLimit
	}
	return *w.Limit
}

func newGuest(c *cluster, n int, random *rand.Rand) *guest {
	g := &guest{c: c, n: n, random: random, asked: map[string]*asked{}, told: map[*wire]map[string]*history.Watch{}, doubted: map[string]bool{}}
	for i := range g.id {
		g.id[i] = byte(random.Uint32())
	}
	for place := range g.grace {
		g.grace[place] = []time.Duration{0, 300 * time.Millisecond, time.Second, 2 * time.Second}[random.IntN(4)]
	}
	g.pair = random.IntN(3) == 0
	g.forget()
	return g
}

// forget is what a guest does with what an earlier life had.
func (g *guest) forget() {
	g.held, g.repeats, g.touched, g.sure, g.over = nil, nil, false, false, false
	g.lists, g.wants = map[string]history.Message{}, map[string]watching{}
	g.changed, g.mixed = map[string]*wire{}, map[string]bool{}
}

// call sends a request on a connection.
func (g *guest) call(w *wire, o history.Operation, options watching, format string, args ...any) *asked {
	g.mu.Lock()
	g.rids++
	rid := strconv.Itoa(g.rids)
	o.Connection, o.Peer, o.Life = w.name, w.peer.name, w.life
	switch o.Action {
	case vera.ActionPush, vera.ActionWatch, vera.ActionUnwatch:
		g.touched = g.touched || w.life == g.life
	}
	a := &asked{wire: w, options: options, answer: make(chan history.Message, 1)}
	a.Operation = g.c.record.Call(o)
	g.asked[rid] = a
	g.mu.Unlock()
	w.send(fmt.Appendf(nil, `{"rid":"`+rid+`",`+format+`}`, args...))
	return a
}

// patience is how long a guest waits for an answer: longer than a peer waits
// for a leader.
const patience = 2500 * time.Millisecond

// await waits for an answer.
func (g *guest) await(a *asked) (history.Message, bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-a.answer:
		return m, true
	case <-a.wire.over:
	case <-timer.C:
	}
	select {
	case m := <-a.answer:
		return m, true
	default:
		return history.Message{}, false
	}
}

// take takes one message of the server.
func (g *guest) take(w *wire, text []byte) {
	m, err := history.Parse(text)
	if err != nil {
		g.c.wrong("%v", err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch m.Action {
	case vera.ActionNotify:
		g.notified(w, m)
		return
	case vera.ActionState:
		if g.wire[0] == w {
			g.shaken = m.State == "suspended"
		}
		return
	}
	var rid string
	_ = json.Unmarshal(m.RID, &rid)
	a := g.asked[rid]
	if a == nil {
		g.c.wrong("%s: an answer to nothing: %s", w.name, text)
		return
	}
	delete(g.asked, rid)
	if a.Action == vera.ActionSession {
		if m.Code == vera.OK && w.life == nil {
			g.introduced(w, m, text)
		}
		a.Life = w.life
	}
	g.c.record.Return(a.Operation, m)
	g.answered(a, m)
	a.answer <- m
}

// answered keeps what an answer says. The guest is locked.
func (g *guest) answered(a *asked, m history.Message) {
	if m.Items != nil && a.Limit == vera.NoLimit && a.Path != "" && m.Index >= g.lists[a.Path].Index {
		g.lists[a.Path] = m
	}
	if m.Code != vera.OK {
		if a.Once != "" && a.Life == g.life && m.Applied == "unknown" {
			g.repeats = append(g.repeats, *a.Operation)
		}
		return
	}
	switch a.Action {
	case vera.ActionPush:
		if a.Life == g.life {
			g.held, g.sure = append(g.held, held{a.Path, m.Version}), true
		}
	case vera.ActionWatch:
		g.watched(a, m)
	case vera.ActionUnwatch:
		if watch := g.told[a.wire][a.Path]; watch != nil {
			watch.End()
		}
		g.told[a.wire][a.Path] = nil
		if a.Life == g.life {
			g.mixed[a.Path], g.changed[a.Path] = true, a.wire
			delete(g.wants, a.Path)
		}
	case vera.ActionClose:
		if a.Life == g.life && g.sure {
			g.c.record.Over(a.Life)
			g.over = true
		}
	}
}

// watched begins a watch with its answer. The guest is locked.
func (g *guest) watched(a *asked, m history.Message) {
	on := g.told[a.wire]
	if old := on[a.Path]; old != nil {
		old.End()
	}
	watch := history.Watch{Connection: a.wire.name, Path: a.Path, Limit: a.Limit, Answer: &m}
	if known := g.lists[a.Path]; m.Items == nil {
		watch.Known = known.Items
		if a.Limit >= 0 {
			watch.Known = known.Items[:min(a.Limit, len(known.Items))]
		}
	}
	if g.doubted[a.Path] || a.Life != g.life {
		on[a.Path] = nil
		return
	}
	on[a.Path] = g.c.record.Watch(watch)
	g.wants[a.Path], g.changed[a.Path] = a.options, a.wire
}

// notified takes a notification, of a watch that this connection began or that
// the session had. The guest is locked.
func (g *guest) notified(w *wire, m history.Message) {
	on := g.told[w]
	if on == nil {
		g.c.wrong("%s: told of %s when it is over", w.name, m.Path)
		return
	}
	watch, known := on[m.Path]
	if known && watch == nil {
		if _, wants := g.wants[m.Path]; !wants && g.changed[m.Path] == w && !g.doubted[m.Path] {
			g.c.wrong("%s: told of %s, which it watches no more", w.name, m.Path)
		}
		return
	}
	if watch == nil {
		wants, is := g.follows(w, m.Path)
		if !is {
			on[m.Path] = nil // not followed on this connection, unless it watches anew
			return
		}
		watch = g.c.record.Watch(history.Watch{Connection: w.name, Path: m.Path, Limit: wants.limit()})
		on[m.Path] = watch
	}
	watch.Notified(m)
	if m.Items != nil && watch.Limit == vera.NoLimit && m.Index >= g.lists[m.Path].Index {
		g.lists[m.Path] = m
	}
}

// lost takes note of a connection that is over.
func (g *guest) lost(w *wire, e end) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, watch := range g.told[w] {
		if watch != nil {
			watch.End()
		}
	}
	delete(g.told, w)
	for rid, a := range g.asked {
		if a.wire != w {
			continue
		}
		delete(g.asked, rid)
		switch {
		case a.Life != g.life:
		case a.Once != "":
			g.repeats = append(g.repeats, *a.Operation)
		case a.Action == vera.ActionWatch || a.Action == vera.ActionUnwatch:
			g.wants[a.Path] = watching{unsure: true}
			g.doubt(w, a.Path)
		}
	}
	g.dismissed(w, e.code)
	if g.wire[w.place] == w {
		g.wire[w.place] = nil
	}
}
