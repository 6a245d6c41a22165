package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"vera"
	"vera/raft/state"
)

// joining is a lookout on its way in.
//
// connection | HTTP client → watch shard: somebody begins to watch
// watch shard → watch path: the same
// watch path → connection: it is taken in: the list may be looked at
type joining struct {
	link
	lookout *lookout
	limit   int
	items   bool
	in      func(*joining) // told when it is taken in
	call    *call          // the request that asked for it; nil: nobody waits
}

// leaving is a lookout on its way out.
//
// connection | HTTP client → watch shard → watch path: a watch is over
type leaving struct {
	link
	lookout *lookout
}

// changes is what some entries of the log did to lists.
//
// session-manager → watch shard: after it read on in the feed
type changes struct {
	link
	all []state.Change
	at  time.Duration // when it was read
}

// changed is what became of one list.
//
// watch shard → watch path: somebody watches what changed
type changed struct {
	link
	before, after *state.List // before nil: not known
	at            time.Duration
}

// afresh says that changes were missed.
//
// session-manager → watch shard | shard: the feed no longer had what was not read
type afresh struct{ link }

// watchShard is the actor that knows, of its share of the paths, who watches
// them; and supervises those.
type watchShard struct {
	box    mailbox
	system *System
	paths  map[vera.Path]*watchPath
}

// Receive handles one message.
func (w *watchShard) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *changes:
		w.changed(m)
	case *joining:
		w.join(m)
	case *leaving:
		w.leave(m)
	case *afresh:
		w.afresh()
	case *ask:
		m.answer(w)
	}
}

func (w *watchShard) settle() {}

func (w *watchShard) reborn(message) {}

func (w *watchShard) describe() any { return map[string]any{"paths": len(w.paths)} }

// changed passes on what concerns paths that are watched, each path once, from
// its state before to its state after all of it.
func (w *watchShard) changed(m *changes) {
	var touched []*watchPath
	for i := range m.all {
		p := w.paths[m.all[i].Path]
		if p == nil {
			continue
		}
		if p.coming == nil {
			p.coming = &changed{before: m.all[i].Before, at: m.at}
			touched = append(touched, p)
		}
		p.coming.after = m.all[i].After
	}
	for _, p := range touched {
		coming := p.coming
		p.coming = nil
		p.box.post(coming)
	}
}

func (w *watchShard) join(m *joining) {
	s := m.lookout
	p := w.paths[s.path]
	if p == nil {
		p = &watchPath{system: w.system, path: s.path}
		w.paths[s.path] = p
		w.system.kinds.watchPath.spawn(p, &p.box, w.box.pid)
	}
	if !s.joined {
		s.joined = true
		p.count++
	}
	p.box.lend(m)
}

func (w *watchShard) leave(m *leaving) {
	s := m.lookout
	p := w.paths[s.path]
	if p == nil || !s.joined {
		return
	}
	s.joined = false
	p.box.lend(m)
	if p.count--; p.count == 0 {
		delete(w.paths, s.path)
		p.box.stop()
	}
}

func (w *watchShard) afresh() {
	for _, p := range w.paths {
		p.box.post(&changed{at: w.system.now()})
	}
}

// watchPath is the actor of one path that somebody here watches. Its classes
// and what they hold survive a restart.
type watchPath struct {
	box     mailbox
	system  *System
	path    vera.Path
	texts   texts
	classes []*class

	// The watch shard's.
	count  int // of lookouts that it sent here
	coming *changed
}

// Receive handles one message.
func (p *watchPath) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *changed:
		p.changed(m)
	case *joining:
		p.join(m)
	case *leaving:
		p.leave(m.lookout)
	case *ask:
		m.answer(p)
	}
}

func (p *watchPath) settle() {}

// reborn takes in once more whoever was there, and whoever was about to come,
// and has all of them look at the list.
func (p *watchPath) reborn(lost message) {
	var by crowd
	for _, c := range p.classes {
		all := c.lookouts
		c.lookouts = nil
		for _, s := range all {
			if s != nil {
				c.add(s)
			}
		}
		c.mark(&by)
	}
	by.start()
	switch m := lost.(type) {
	case *joining:
		p.join(m)
	case *leaving:
		p.leave(m.lookout)
	}
}

func (p *watchPath) describe() any {
	type options struct {
		Limit   int  `json:"limit"`
		Items   bool `json:"items"`
		Watches int  `json:"watches"`
	}
	classes := []options{}
	for _, c := range p.classes {
		classes = append(classes, options{c.limit, c.items, len(c.lookouts)})
	}
	return map[string]any{"path": p.path, "classes": classes}
}

func (p *watchPath) changed(m *changed) {
	if m.after != nil {
		p.texts.forget(m.after)
	}
	var by crowd
	for _, c := range p.classes {
		concerned, silent := c.concerned(m.before, m.after)
		if concerned && !silent {
			c.since.Store(int64(m.at))
		}
		if concerned {
			c.mark(&by)
		}
	}
	by.start()
}

func (p *watchPath) join(m *joining) {
	s := m.lookout
	p.leave(s) // a restart may take it in once more
	s.class = p.class(m.limit, m.items)
	s.class.add(s)
	m.in(m)
}

// class returns the class of these options.
func (p *watchPath) class(limit int, items bool) *class {
	for _, c := range p.classes {
		if c.limit == limit && c.items == items {
			return c
		}
	}
	c := &class{path: p.path, limit: limit, items: items, texts: &p.texts}
	p.classes = append(p.classes, c)
	return c
}

func (p *watchPath) leave(s *lookout) {
	if s.class == nil {
		return
	}
	s.class.remove(s)
	if len(s.class.lookouts) > 0 {
		return
	}
	for i, c := range p.classes {
		if c == s.class {
			p.classes = append(p.classes[:i], p.classes[i+1:]...)
			return
		}
	}
}
