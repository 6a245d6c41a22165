package actors

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// Everything that is told on one connection is at least as new as what was
// told before, whatever comes from wherever.
func TestNothingToldGoesBack(t *testing.T) {
	y, l := newSystem(t)
	h := record(l, "/data/a")
	var all sync.WaitGroup
	clients := make([]*client, 8)
	rids := make([]string, len(clients))
	for i := range clients {
		clients[i] = connect(t, y, hello(fmt.Sprint("client", i)))
		rids[i] = clients[i].send(`"action":"watch","path":"/data/a","items":false`)
		all.Go(func() {
			for n := range 60 {
				clients[i].send(`"action":"push","path":"/data/a","limit":1,"data":{"n":%d}`, n)
				clients[i].send(`"action":"push","path":"/data/other%d","limit":1,"data":{}`, i)
				clients[i].send(`"action":"get","path":"/data/a","limit":1,"consistent":%v`, n%5 == 0)
				clients[i].send(`"action":"ping"`)
			}
		})
	}
	all.Wait()
	eventually(t, "everything answered", func() bool {
		for _, c := range clients {
			answers := 0
			for _, m := range c.messages() {
				if m.RID != "" {
					answers++
				}
			}
			if answers != 241 {
				return false
			}
		}
		return true
	})
	for i, c := range clients {
		newMirror(h, vera.NoLimit).follow(t, c.messages(), rids[i])
	}
}

func TestCommandsOfAConnectionKeepTheirOrder(t *testing.T) {
	y, l := newSystem(t)
	var all sync.WaitGroup
	const clients, each = 6, 300
	for i := range clients {
		c := connect(t, y, hello(fmt.Sprint("client", i)))
		all.Go(func() {
			for n := range each {
				c.send(`"action":"push","path":"/data/a","limit":0,"data":{"from":%d,"n":%d}`, i, n)
			}
		})
	}
	all.Wait()
	eventually(t, "all pushed", func() bool { return items(l, "/data/a") == clients*each })
	next := map[int]int{}
	list, _ := l.machine.List("/data/a")
	for it := range list.All() {
		var from, n int
		if _, err := fmt.Sscanf(string(it.Data), `{"from":%d,"n":%d}`, &from, &n); err != nil {
			t.Fatal(err)
		}
		if n != next[from] {
			t.Fatalf("push %d of client %d where %d was next", n, from, next[from])
		}
		next[from]++
	}
}

func TestThePromisesOfOneRequest(t *testing.T) {
	y, _ := newSystem(t)
	c, other := connect(t, y, hello("one")), connect(t, y, hello("other"))
	pushed := c.ok(`"action":"push","path":"/data/a","once":"k","data":{"n":1.10}`)
	if data := string((*pushed.Items)[0].Data); data != `{"n":1.10}` {
		t.Errorf("data %s", data)
	}
	if m := c.ok(`"action":"push","path":"/data/a","once":"k","data":{"n":1.10}`); m.Version != pushed.Version || len(*m.Items) != 1 {
		t.Errorf("the same once: %+v", m)
	}
	twin := connect(t, y, again(hello("one")))
	if m := twin.ok(`"action":"push","path":"/data/a","once":"k","data":{"n":1.10}`); m.Version != pushed.Version || len(*m.Items) != 1 {
		t.Errorf("the same once on another connection: %+v", m)
	}
	for _, r := range []struct {
		request string
		want    vera.Code
	}{
		{`"action":"push","path":"/data/a","once":"k","data":{"n":2}`, vera.InvalidParameter},
		{`"action":"push","path":"/data/a","ifMatch":"0","data":{}`, vera.PreconditionFailed},
		{fmt.Sprintf(`"action":"push","path":"/data/a","ifMatch":%q,"data":{}`, pushed.ETag), vera.OK},
		{fmt.Sprintf(`"action":"update","path":"/data/b","version":%d,"data":{}`, pushed.Version), vera.NotFound},
		{fmt.Sprintf(`"action":"update","path":"/data/a","version":%d,"data":{}`, pushed.Version), vera.OK},
		{`"action":"dance"`, vera.InvalidParameter},
		{`"action":"get"`, vera.InvalidParameter},
		{`"action":"remove","path":"/data/a","version":999`, vera.OK},
	} {
		if m := c.ask(`%s`, r.request); m.Code != r.want {
			t.Errorf("%s: %+v", r.request, m)
		} else if r.want == vera.PreconditionFailed && (m.Items == nil || m.ETag == "") {
			t.Errorf("%s: without the list: %+v", r.request, m)
		}
	}
	if m := c.ok(`"action":"update","path":"/data/a","version":%d,"data":{"u":1}`, pushed.Version); m.Version != pushed.Version || (*m.Items)[0].Updated != m.Index {
		t.Errorf("update: %+v", m)
	}
	for _, action := range []string{"update", "remove"} {
		if m := other.ask(`"action":%q,"path":"/data/a","version":%d,"data":{}`, action, pushed.Version); m.Code != vera.Forbidden {
			t.Errorf("%s of somebody else's: %+v", action, m)
		}
	}
	if m := c.ok(`"action":"get","path":"/data/a","limit":0`); m.Total == 0 || len(*m.Items) != 0 {
		t.Errorf("limit 0: %+v", m)
	}
}

func TestQuotasNameTheirLimit(t *testing.T) {
	y, _ := newSystem(t, func(o *Options) {
		o.Limits.SessionItems, o.Limits.ListItems, o.Limits.SessionWatches = 3, 2, 1
	})
	c := connect(t, y, hello("one"))
	c.push("/data/a", `{}`)
	c.push("/data/a", `{}`)
	c.ok(`"action":"watch","path":"/data/a"`)
	for request, limit := range map[string]string{
		`"action":"push","path":"/data/a","data":{}`: "2",
		`"action":"watch","path":"/data/b"`:          "1",
	} {
		if m := c.ask(`%s`, request); m.Code != vera.TooManyRequests || !strings.Contains(m.Message, limit) {
			t.Errorf("%s: %+v", request, m)
		}
	}
	c.ok(`"action":"watch","path":"/data/a","limit":1`)
	c.push("/data/b", `{}`)
	if m := c.ask(`"action":"push","path":"/data/c","data":{}`); m.Code != vera.TooManyRequests || !strings.Contains(m.Message, "3") {
		t.Errorf("a fourth item: %+v", m)
	}
}

// A request without a leader is refused in time, and what is said of its
// effect is true.
func TestWithoutALeaderEffectsAreToldTruthfully(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{"n":0}`)
		l.hold(true)
		began := time.Now()
		first := c.send(`"action":"push","path":"/data/a","data":{"n":1}`)
		pass(time.Second)
		second := c.send(`"action":"push","path":"/data/a","data":{"n":2}`)
		fresh := connect(t, y, hello("fresh"))
		third := fresh.send(`"action":"push","path":"/data/a","data":{"n":3}`)
		if m := c.answer(first); m.Code != vera.Unavailable || m.Applied != "unknown" {
			t.Errorf("what was under way: %+v", m)
		}
		if waited := time.Since(began); waited < y.limits.Leader || waited > y.limits.Leader+2*grain {
			t.Errorf("refused after %v", waited)
		}
		if m := c.answer(second); m.Code != vera.Unavailable || m.Applied != false {
			t.Errorf("what waited: %+v", m)
		}
		if m := fresh.answer(third); m.Code != vera.Unavailable || m.Applied != false {
			t.Errorf("what waited for its session: %+v", m)
		}
		l.hold(false)
		synctest.Wait()
		if n := items(l, "/data/a"); n != 2 {
			t.Errorf("%d items; only the push whose effect was unknown may have been applied", n)
		}
		c.push("/data/a", `{"n":4}`)
		fresh.push("/data/a", `{"n":5}`)
	})
}

// What the session itself needs is asked again until it is done.
func TestAnEndingIsNotForgottenWithoutALeader(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		c.push("/data/a", `{}`)
		l.with(func() { l.refusing = errors.New("not now") })
		if m := c.ask(`"action":"push","path":"/data/a","data":{}`); m.Code != vera.Unavailable || m.Applied != "unknown" {
			t.Errorf("a push: %+v", m)
		}
		c.leave(vera.EndedClean)
		pass(20 * time.Second)
		if items(l, "/data/a") != 1 {
			t.Fatal("ended without the log")
		}
		l.with(func() { l.refusing = nil })
		pass(2 * retryAfter)
		synctest.Wait()
		if items(l, "/data/a") != 0 || y.kinds.session.count() != 0 {
			t.Errorf("%d items and %d sessions are left", items(l, "/data/a"), y.kinds.session.count())
		}
	})
}

// A client that is ahead of its bounds is read later; nothing of it is lost,
// and what it has under way stays within the bounds.
func TestAClientAheadOfItsBoundsIsReadLater(t *testing.T) {
	const requests = 5000
	y, _ := newSystem(t, func(o *Options) { o.Limits.InFlight, o.Limits.Rate = 64, 1<<30 })
	c := connect(t, y, hello("one"))
	c.slow.Store(true)
	for n := range requests {
		message := fmt.Appendf(nil, `{"rid":"%d","action":"push","path":"/data/a","limit":0,"data":{"n":%d}}`, n, n)
		resumes := c.resumes.Load()
		if c.conn.Receive(message) {
			continue
		}
		under := (*connection)(c.conn.(*entrance)).valve.count.Load()
		if under > 64 {
			t.Fatalf("%d requests are under way", under)
		}
		eventually(t, "read again", func() bool {
			c.pull(1000)
			return c.resumes.Load() > resumes
		})
	}
	eventually(t, "all answered", func() bool {
		c.pull(1000)
		return len(c.messages()) == requests
	})
	for i, m := range c.messages() {
		if m.RID != fmt.Sprint(i) || m.Code != vera.OK {
			t.Fatalf("answer %d: %+v", i, m)
		}
	}
}

func TestTheRateIsKeptByReadingLater(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, _ := newSystem(t, func(o *Options) { o.Limits.Rate, o.Limits.InFlight = 100, 1<<20 })
		c := connect(t, y, hello("one"))
		began := time.Now()
		for n := range 500 {
			resumes := c.resumes.Load()
			if !c.conn.Receive(fmt.Appendf(nil, `{"rid":"%d","action":"ping"}`, n)) {
				for c.resumes.Load() == resumes {
					pass(time.Millisecond)
				}
			}
		}
		if took := time.Since(began); took < 3900*time.Millisecond || took > 4500*time.Millisecond {
			t.Errorf("500 requests at 100 a second, with a second's burst, took %v", took)
		}
		synctest.Wait()
		if n := len(c.messages()); n != 500 {
			t.Errorf("%d answers", n)
		}
	})
}

// A log that is full says so at once, also to a client that has no life yet.
func TestWhatTheLogRefusesIsToldAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		full := func(c state.Command) string {
			if c.Kind == state.Push || c.Kind == state.Open {
				return "the disk is nearly full"
			}
			return ""
		}
		holder := connect(t, y, hello("holder"))
		holder.push("/data/a", `{}`)
		l.with(func() { l.full = full })
		for name, c := range map[string]*client{"a session": holder, "a new one": connect(t, y, hello("new"))} {
			began := time.Now()
			m := c.ask(`"action":"push","path":"/data/a","data":{}`)
			if m.Code != vera.Unavailable || m.Applied != false || !strings.Contains(m.Message, "disk") || time.Since(began) != 0 {
				t.Errorf("%s: %+v", name, m)
			}
			c.ok(`"action":"watch","path":"/data/a"`)
		}
		holder.leave(vera.EndedClean)
		synctest.Wait()
		if items(l, "/data/a") != 0 {
			t.Error("a full log does not let anybody go")
		}
		l.with(func() { l.full = nil })
		pass(2 * retryAfter)
		if s := l.machine.Session(sessionID("new")); s == nil || len(s.Watches()) != 1 {
			t.Error("the watch was not recorded when there was room")
		}
	})
}
