package sim

import (
	"math/rand/v2"
	"time"

	"vera"
	"vera/test/history"
)

// probe is what every run has guests do once, so that each of the lies has its
// chance: while a peer is cut off from the others, one pushes where the majority
// is and another reads where it is not; one pushes and leaves; and a pair goes
// on with one connection when it has lost the other.
func (r *run) probe() {
	c := r.nemesis.cluster
	alone, other := c.names[0], c.names[1]
	if c.peer(other).raft.Status().Leader == alone {
		alone, other = other, alone
	}
	pusher, reader, leaver := r.visitor(other), r.visitor(alone), r.visitor(other)
	pushed := leaver.probe(history.Operation{Action: vera.ActionPush, Path: "/data/2", Data: leaver.fresh()})
	pair := r.couple(other, c.names[2])
	trouble := c.record.Trouble(alone)
	c.memory.Isolate(alone)
	pushed = pusher.probe(history.Operation{Action: vera.ActionPush, Path: "/data/2", Data: pusher.fresh()}) && pushed
	read := make(chan bool, 1)
	c.jobs.Go(func() {
		read <- reader.probe(history.Operation{Action: vera.ActionGet, Path: "/data/2", Consistent: true})
	})
	<-time.After(300 * time.Millisecond)
	c.memory.HealAll()
	trouble.Over()
	if !<-read || !pushed {
		c.wrong("a push or a read failed while all was well but for one peer that was cut off for 0.3 s")
	}
	leaver.close(leaver.at(0))
	pair.halve()
}

// couple is a pair of which no connection outlives the other by a grace. It
// pushes on the one, and asks on the other what it holds.
func (r *run) couple(one, other string) *guest {
	c := r.nemesis.cluster
	g := r.newcomer()
	g.pair, g.grace = true, [2]time.Duration{}
	r.seat(g, one, 0)
	r.seat(g, other, 1)
	if !g.probe(history.Operation{Action: vera.ActionPush, Path: "/data/1", Data: g.fresh()}) {
		c.wrong("a push of a pair failed while all was well")
	}
	<-time.After(50 * time.Millisecond)
	if w := g.at(1); w != nil {
		g.meet(w)
	}
	return g
}

// halve has a pair lose its first connection, and be there still.
func (g *guest) halve() {
	if w := g.at(0); w != nil {
		w.end(end{how: vera.EndedLost})
		<-w.over
	}
	<-time.After(50 * time.Millisecond)
	if w := g.at(1); w == nil {
		g.c.wrong("guest %d lost one connection, and has not kept the other", g.n)
	} else if _, ok := g.meet(w); !ok {
		g.c.wrong("%s, one of two, could not be asked when the other was lost", w.name)
	}
}

// newcomer is a guest that is not connected yet.
func (r *run) newcomer() *guest {
	n := 10 + len(r.guests)
	g := newGuest(r.nemesis.cluster, n, rand.New(rand.NewPCG(r.seed, uint64(2+n))))
	r.guests = append(r.guests, g)
	return g
}

// visitor is a guest that is connected to a peer of that name.
func (r *run) visitor(name string) *guest {
	g := r.newcomer()
	r.seat(g, name, 0)
	return g
}

// seat connects a guest to a peer of that name.
func (r *run) seat(g *guest, name string, place int) {
	c := r.nemesis.cluster
	for range 50 {
		if g.join(c.peer(name), place) {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	c.wrong("guest %d could not connect to %s while all was well", g.n, name)
}

// probe does one push or read and returns whether it was done.
func (g *guest) probe(o history.Operation) bool {
	w := g.at(0)
	if w == nil {
		return false
	}
	o.Limit = vera.NoLimit
	format := `"action":"get","path":%q%s%s`
	if o.Data != "" {
		format = `"action":"push","path":%q,"data":%s%s`
	}
	m, ok := g.await(g.call(w, o, watching{}, format, o.Path, o.Data, optional(o)))
	return ok && m.Code == vera.OK
}
