package sim

import (
	"math/rand/v2"
	"time"

	"vera"
	"vera/test/history"
)

// probe is what every run has guests do once, so that each of the four lies has
// its chance: while a peer is cut off from the others, one pushes where the
// majority is and another reads where it is not; and one pushes and leaves.
func (r *run) probe() {
	c := r.nemesis.cluster
	alone, other := c.names[0], c.names[1]
	if c.peer(other).raft.Status().Leader == alone {
		alone, other = other, alone
	}
	pusher, reader, leaver := r.visitor(other), r.visitor(alone), r.visitor(other)
	pushed := leaver.probe(history.Operation{Action: vera.ActionPush, Path: "/data/2", Data: leaver.fresh()})
	c.memory.Isolate(alone)
	pushed = pusher.probe(history.Operation{Action: vera.ActionPush, Path: "/data/2", Data: pusher.fresh()}) && pushed
	read := make(chan bool, 1)
	c.jobs.Go(func() {
		read <- reader.probe(history.Operation{Action: vera.ActionGet, Path: "/data/2", Consistent: true})
	})
	<-time.After(300 * time.Millisecond)
	c.memory.HealAll()
	if !<-read || !pushed {
		c.wrong("a push or a read failed while all was well but for one peer that was cut off for 0.3 s")
	}
	leaver.close(leaver.current())
}

// visitor is a guest that is connected to a peer of that name.
func (r *run) visitor(name string) *guest {
	c := r.nemesis.cluster
	n := 10 + len(r.guests)
	g := newGuest(c, n, rand.New(rand.NewPCG(r.seed, uint64(2+n))))
	r.guests = append(r.guests, g)
	for range 50 {
		if g.join(c.peer(name)) {
			return g
		}
		<-time.After(50 * time.Millisecond)
	}
	c.wrong("guest %d could not connect to %s while all was well", n, name)
	return g
}

// probe does one push or read and returns whether it was done.
func (g *guest) probe(o history.Operation) bool {
	w := g.current()
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
