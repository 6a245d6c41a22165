package actors

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"
)

// After a ping the items stay for safeMs from its arrival, whatever connections
// come and go how.
func TestSafeIsKept(t *testing.T) {
	for seed := range uint64(60) {
		bubble.Test(t, func(t *testing.T) { safeIsKept(t, rand.New(rand.NewPCG(seed, 3))) })
	}
}

// promised is a session whose pings are held against what becomes of its item.
type promised struct {
	t       *testing.T
	y       *System
	l       *memory
	random  *rand.Rand
	hello   vera.Hello
	clients []*client
	until   time.Time // when the item may go at the earliest
	events  []string
}

func (p *promised) note(format string, args ...any) {
	p.events = append(p.events, fmt.Sprint(time.Since(p.y.started), " ", fmt.Sprintf(format, args...)))
}

// anyHello is the session's, with some grace.
func (p *promised) anyHello() vera.Hello {
	h := again(p.hello)
	h.Grace = []time.Duration{0, 500 * time.Millisecond, 2 * time.Second, 20 * time.Second}[p.random.IntN(4)]
	p.note("connect with %v", h.Grace)
	return h
}

// judge says whether the item is gone too early.
func (p *promised) judge() (gone bool) {
	gone = items(p.l, "/data/a") == 0
	if left := time.Until(p.until); gone && left > time.Millisecond {
		p.t.Errorf("the item is gone %v before it was promised to be safe: %q", left, p.events)
	}
	return gone
}

func (p *promised) ping() {
	arrived := time.Now()
	m := p.clients[p.random.IntN(len(p.clients))].ok(`"action":"ping"`)
	p.note("ping %d", m.SafeMs)
	if until := arrived.Add(time.Duration(m.SafeMs) * time.Millisecond); until.After(p.until) {
		p.until = until
	}
}

// loseAll loses all connections, and one comes back.
func (p *promised) loseAll() {
	for _, c := range p.clients {
		c.leave(vera.EndedLost)
	}
	pass(time.Duration(p.random.IntN(1000)) * time.Millisecond)
	p.clients = []*client{connect(p.t, p.y, p.anyHello())}
	if p.judge() {
		p.clients[0].push("/data/a", `{}`)
	}
}

func (p *promised) loseOne() {
	i := p.random.IntN(len(p.clients))
	how := []vera.Ending{vera.EndedClean, vera.EndedLost, vera.EndedByServer}[p.random.IntN(3)]
	p.note("end %d", how)
	p.clients[i].leave(how)
	p.clients = append(p.clients[:i], p.clients[i+1:]...)
}

func safeIsKept(t *testing.T, random *rand.Rand) {
	y, l := newSystem(t)
	p := &promised{t: t, y: y, l: l, random: random, hello: hello("one"), until: time.Now()}
	first := p.anyHello()
	first.Offered = false
	p.clients = []*client{connect(t, y, first)}
	p.clients[0].push("/data/a", `{}`)
	for range 40 {
		switch n := random.IntN(11); {
		case n < 3:
			p.ping()
		case n < 5 && len(p.clients) < 4:
			p.clients = append(p.clients, connect(t, y, p.anyHello()))
		case n < 8 && len(p.clients) > 1:
			p.loseOne()
		case n == 10:
			p.loseAll()
		default:
			pass(time.Duration(random.IntN(1500)) * time.Millisecond)
		}
	}
	for _, c := range p.clients {
		c.leave(vera.EndedLost)
	}
	if left := time.Until(p.until) - time.Millisecond; left > 0 {
		pass(left)
	}
	synctest.Wait()
	p.judge()
	pass(time.Minute)
	synctest.Wait()
	if items(l, "/data/a") != 0 {
		t.Errorf("the item is still there")
	}
}

func TestSafeIsNoMoreThanWhatTheLeadersSilenceLeaves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		h := hello("one")
		h.Grace = 8 * time.Second
		c := connect(t, y, h)
		c.push("/data/a", `{}`)
		if m := c.ok(`"action":"ping"`); m.SafeMs != 8000 {
			t.Errorf("in touch: %d", m.SafeMs)
		}
		l.with(func() { l.contact = time.Now() })
		pass(4500 * time.Millisecond)
		if m := c.ok(`"action":"ping"`); m.SafeMs != 5500 {
			t.Errorf("4.5 s of 10 s after the last contact: %d", m.SafeMs)
		}
		pass(10 * time.Second)
		if m := c.ok(`"action":"session"`); m.SafeMs != 0 {
			t.Errorf("long after the last contact: %d", m.SafeMs)
		}
		none := hello("two")
		none.Grace = 0
		if m := connect(t, y, none).ok(`"action":"ping"`); m.SafeMs != 0 {
			t.Errorf("without a grace: %d", m.SafeMs)
		}
	})
}

// Safe counts from the request's arrival, however late it is answered.
func TestSafeCountsFromTheArrival(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		h := hello("one")
		h.Grace = time.Minute
		c := connect(t, y, h)
		c.push("/data/a", `{}`)
		l.with(func() { l.contact = time.Now() })
		c.slow.Store(true)
		rid := c.send(`"action":"ping"`)
		pass(3 * time.Second)
		c.slow.Store(false)
		c.Wake()
		if m := c.answer(rid); m.SafeMs != 10_000 {
			t.Errorf("answered 3 s late: %d", m.SafeMs)
		}
	})
}

// A grace that is not in the log yet promises nothing.
func TestSafeIsNoMoreThanTheGraceInTheLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		l.hold(true)
		larger := again(hello("one"))
		larger.Grace = 9 * time.Second
		let := make(chan *client, 1)
		go func() { let <- connect(t, y, larger) }()
		synctest.Wait()
		if m := c.ok(`"action":"ping"`); m.SafeMs != 2000 {
			t.Errorf("while the larger grace is on its way: %d", m.SafeMs)
		}
		l.hold(false)
		<-let
		if m := c.ok(`"action":"ping"`); m.SafeMs != 9000 {
			t.Errorf("when it is there: %d", m.SafeMs)
		}
	})
}

func TestDoubtIsToldEarly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		holder, watcher, reader := connect(t, y, hello("holder")), connect(t, y, hello("watcher")), connect(t, y, hello("reader"))
		holder.push("/data/a", `{}`)
		watcher.ok(`"action":"watch","path":"/data/a"`)
		reader.ok(`"action":"get","path":"/data/a"`)
		l.with(func() { l.status.Suspended, l.contact = true, time.Now() })
		pass(2 * grain)
		for name, c := range map[string]*client{"holder": holder, "watcher": watcher} {
			m := c.wait(0, "the doubt", func(m *told) bool { return m.Action == "state" })
			if m.State != "suspended" || m.SafeMs <= 0 || m.SafeMs > 2000 {
				t.Errorf("%s was told %+v", name, m)
			}
		}
		late := connect(t, y, hello("late"))
		l.with(func() { l.status.Suspended, l.status.Committed = false, l.machine.Applied()+1 })
		pass(time.Second)
		if last := holder.messages(); last[len(last)-1].State != "suspended" {
			t.Error("told that it is back before it has caught up")
		}
		l.with(func() { l.status.Committed = 0 })
		pass(2 * grain)
		for name, c := range map[string]*client{"holder": holder, "watcher": watcher} {
			if all := c.messages(); all[len(all)-1].State != "connected" {
				t.Errorf("%s was told %+v", name, all[len(all)-1])
			}
		}
		for name, c := range map[string]*client{"reader": reader, "late": late} {
			for _, m := range c.messages() {
				if m.Action == "state" {
					t.Errorf("%s has nothing to lose and was told %+v", name, m)
				}
			}
		}
	})
}
