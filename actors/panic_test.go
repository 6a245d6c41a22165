package actors

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera"
	"vera/raft/state"
)

// inject has handlers of a kind panic, one in so many, as long as there are
// panics left.
func inject(k *kind, left *atomic.Int64, oneIn int) {
	fault := func(m message) {
		if _, asked := m.(*ask); !asked && rand.IntN(oneIn) == 0 && left.Add(-1) >= 0 {
			panic(fmt.Sprintf("injected into %s", k.name))
		}
	}
	k.fault.Store(&fault)
}

// patient is a client that comes back whenever it is sent away.
type patient struct {
	t      *testing.T
	y      *System
	hello  vera.Hello
	random *rand.Rand
	c      *client
	lives  int    // that it was told of
	own    string // path of a list of its own
	mine   []uint64
	slow   atomic.Int64 // requests that were given up for want of time
}

// arrive connects, again and again.
func (p *patient) arrive() {
	for {
		c := newClient(p.t)
		if err := c.connect(p.y, p.hello); err != nil {
			if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.InternalError {
				p.t.Logf("in vain: %v", err)
				p.slow.Add(1)
			}
			continue
		}
		if !(*connection)(c.conn.(*entrance)).resumed {
			p.lives++
			p.mine = nil
		}
		p.hello.Offered = true
		p.c = c
		return
	}
}

// ask returns false when the connection was closed before the answer.
func (p *patient) ask(format string, args ...any) (m told, answered bool) {
	rid := p.c.send(format, args...)
	for {
		p.c.mu.Lock()
		news, closed := p.c.news, p.c.closed
		for i := range p.c.all {
			if p.c.all[i].RID == rid {
				m, answered = p.c.all[i], true
			}
		}
		if answered {
			p.c.all = nil
		}
		p.c.mu.Unlock()
		if answered && m.Code == vera.Unavailable {
			p.t.Logf("in vain: %s %+v", fmt.Sprintf(format, args...), m)
			p.slow.Add(1)
		}
		if answered || closed != 0 {
			return m, answered
		}
		<-news
	}
}

// work does one thing.
func (p *patient) work() {
	if p.c == nil {
		p.arrive()
	}
	path := fmt.Sprintf("/data/%d", p.random.IntN(5))
	answered := true
	var m told
	switch n := p.random.IntN(10); {
	case n < 4 && len(p.mine) <= 20:
		if m, answered = p.ask(`"action":"push","path":%q,"limit":0,"data":{}`, p.own); m.Code == vera.OK {
			p.mine = append(p.mine, m.Version)
		}
	case n < 6 && len(p.mine) > 0, len(p.mine) > 20:
		version := p.mine[len(p.mine)-1]
		p.mine = p.mine[:len(p.mine)-1] // it may go even if nobody answers
		_, answered = p.ask(`"action":"remove","path":%q,"version":%d`, p.own, version)
	case n < 7:
		_, answered = p.ask(`"action":"push","path":%q,"limit":0,"data":{}`, path)
	case n < 9:
		_, answered = p.ask(`"action":"watch","path":%q,"limit":3`, path)
	default:
		_, answered = p.ask(`"action":"get","path":%q,"limit":1`, path)
	}
	if !answered {
		p.c = nil
	}
}

// TestPanicsUnderLoad breaks handlers of connections, sessions and watched
// paths while clients work. The peer lives; sessions end only because their
// own actor failed too often; whoever comes back has what it had.
func TestPanicsUnderLoad(t *testing.T) {
	panics, clients := int64(25_000), 24
	switch {
	case os.Getenv("VERA_SOAK") != "":
		panics = 100_000
	case testing.Short():
		panics = 1_000
	}
	y, l := newSystem(t)
	var mu sync.Mutex
	ends := map[vera.Reason]int{}
	l.applied = func(out state.Output) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range out.Sessions {
			if c.What == state.Over {
				ends[c.Reason]++
			}
		}
	}
	var left atomic.Int64
	left.Store(panics)
	inject(y.kinds.connection, &left, 15)
	inject(y.kinds.session, &left, 40)
	inject(y.kinds.watchPath, &left, 6)
	var all sync.WaitGroup
	patients := make([]*patient, clients)
	for i := range patients {
		p := &patient{t: t, y: y, hello: hello(fmt.Sprint("patient", i)), own: fmt.Sprintf("/data/own/%d", i), random: rand.New(rand.NewPCG(uint64(i), 4))}
		patients[i] = p
		all.Go(func() {
			for left.Load() > 0 {
				p.work()
			}
		})
	}
	all.Wait()
	for _, k := range y.kinds.all() {
		k.fault.Store(nil)
	}
	restarts, failures := uint64(0), uint64(0)
	for _, k := range y.kinds.all() {
		t.Logf("%s: %d failed, %d were restarted", k.name, k.failures.Load(), k.restarts.Load())
		restarts, failures = restarts+k.restarts.Load(), failures+k.failures.Load()
	}
	if failures < uint64(panics) || restarts == 0 {
		t.Errorf("%d failures of %d", failures, panics)
	}
	afterPanics(t, l, patients, func(r vera.Reason) int {
		mu.Lock()
		defer mu.Unlock()
		return ends[r]
	})
}

// afterPanics has all clients take stock and leave.
func afterPanics(t *testing.T, l *memory, patients []*patient, ended func(vera.Reason) int) {
	y, lives := patients[0].y, 0
	eventually(t, "all connections that failed are gone", func() bool { return y.kinds.connection.count() <= len(patients) })
	for i, p := range patients {
		if p.slow.Load() > 0 {
			t.Errorf("patient %d had to wait in vain %d times", i, p.slow.Load())
		}
		var info told
		for answered := false; !answered; {
			p.arrive()
			info, answered = p.ask(`"action":"session"`)
		}
		have := map[uint64]bool{}
		for _, it := range *info.Items {
			have[it.Version] = true
		}
		for _, version := range p.mine {
			if !have[version] {
				t.Errorf("patient %d lost item %d of a session that was resumed", i, version)
			}
		}
		lives += p.lives
	}
	if err := l.check(); err != nil {
		t.Error(err)
	}
	t.Logf("%d lives, ended because they failed: %d, closed: %d, expired: %d", lives, ended(vera.Ended), ended(vera.Closed), ended(vera.Expired))
	if ended(vera.Closed)+ended(vera.Expired) != 0 {
		t.Errorf("sessions ended for no reason: %d closed, %d expired", ended(vera.Closed), ended(vera.Expired))
	}
	for _, p := range patients {
		p.c.ok(`"action":"close"`)
	}
	eventually(t, "all sessions ended", func() bool { return l.machine.Counts() == (state.Counts{}) })
	eventually(t, "all actors gone", func() bool {
		return y.kinds.session.count()+y.kinds.connection.count()+y.kinds.watchPath.count() == 0
	})
}

// A failed connection's client comes back to its session.
func TestAFailedConnectionIsSentAway(t *testing.T) {
	y, l := newSystem(t)
	c := connect(t, y, hello("one"))
	c.push("/data/a", `{}`)
	c.ok(`"action":"watch","path":"/data/a"`)
	once := atomic.Int64{}
	once.Store(1)
	inject(y.kinds.connection, &once, 1)
	c.send(`"action":"get","path":"/data/a"`)
	if code := c.closedWith(); code != vera.CloseTryLater {
		t.Errorf("closed with %d", code)
	}
	c = connect(t, y, again(hello("one")))
	if m := c.ok(`"action":"session"`); !m.Resumed || len(*m.Items) != 1 || len(m.Watches) != 1 {
		t.Errorf("it came back to %+v", m)
	}
	if items(l, "/data/a") != 1 {
		t.Error("its item is gone")
	}
	failures, err := y.Failures(t.Context())
	if err != nil || len(failures) != 1 || failures[0].Kind != "connection" || len(failures[0].Stack) == 0 {
		t.Errorf("remembered %+v, %v", failures, err)
	}
}

// A panic while the socket pulls fails the connection, not the socket.
func TestAPanicInPullFailsTheConnection(t *testing.T) {
	y, _ := newSystem(t)
	c := connect(t, y, hello("one"))
	conn := (*connection)(c.conn.(*entrance))
	broken := &call{from: conn, answered: true, request: vera.Request{Action: vera.ActionWatch, Path: "/data/a"}}
	broken.watch = &lookout{}
	conn.session, broken.request.Action = nil, vera.ActionPing // nothing to ask for the grace
	conn.out.add(broken)
	c.Wake()
	if code := c.closedWith(); code != vera.CloseTryLater {
		t.Errorf("closed with %d", code)
	}
	eventually(t, "it is gone", func() bool { return y.kinds.connection.count() == 0 })
}

// A session that fails now and then goes on; one that fails again and again is
// ended.
func TestASessionThatFailsTooOftenIsEnded(t *testing.T) {
	y, l := newSystem(t)
	c := connect(t, y, hello("one"))
	c.push("/data/a", `{}`)
	fault := func(m message) {
		if _, isCall := m.(*call); isCall {
			panic("every call")
		}
	}
	y.kinds.session.fault.Store(&fault)
	eventually(t, "what began without the fault is done", func() bool {
		rests := true
		y.kinds.session.each(func(b *mailbox) { rests = rests && b.head.Load() == nil })
		return rests
	})
	for range sessionFailures {
		if m := c.ask(`"action":"push","path":"/data/a","data":{}`); m.Code != vera.InternalError {
			t.Errorf("a call whose handler failed: %+v", m)
		}
	}
	if items(l, "/data/a") != 1 {
		t.Fatal("ended too early")
	}
	if m := c.ask(`"action":"push","path":"/data/a","data":{}`); m.Code == vera.OK {
		t.Errorf("once too often: %+v", m)
	}
	if code := c.closedWith(); code != vera.CloseEnded {
		t.Errorf("closed with %d", code)
	}
	y.kinds.session.fault.Store(nil)
	eventually(t, "its items are gone", func() bool { return items(l, "/data/a") == 0 })
	c = connect(t, y, again(hello("one")))
	if c.ok(`"action":"session"`).Resumed {
		t.Error("the next life says that it is the same")
	}
	c.push("/data/a", `{}`)
}

// Watchers of a path whose actor fails miss nothing.
func TestAFailedWatchPathTellsWhatItMissed(t *testing.T) {
	y, l := newSystem(t)
	h := record(l, "/data/a")
	watcher, pusher := connect(t, y, hello("watcher")), connect(t, y, hello("pusher"))
	rid := watcher.send(`"action":"watch","path":"/data/a"`)
	watcher.answer(rid)
	left := atomic.Int64{}
	left.Store(50)
	inject(y.kinds.watchPath, &left, 2)
	for n := range 200 {
		pusher.send(`"action":"push","path":"/data/a","limit":0,"data":{"n":%d}`, n)
		if n%20 == 0 {
			pusher.push("/data/a", `{}`)
		}
	}
	eventually(t, "all told", func() bool {
		m := newMirror(h, vera.NoLimit)
		m.follow(t, watcher.messages(), rid)
		return h.last().list.Len() == 210 && m.final()
	})
	if y.kinds.watchPath.restarts.Load() == 0 {
		t.Error("nothing failed")
	}
}

// What is out of our hands ends the process, with the stack.
func TestAFailedRaftActorIsFatal(t *testing.T) {
	fatal := make(chan error, 1)
	y, _ := newSystem(t, func(o *Options) {
		o.Fatal = func(err error) {
			select {
			case fatal <- err:
			default:
			}
		}
	})
	once := atomic.Int64{}
	once.Store(1)
	inject(y.kinds.raft, &once, 1)
	c := connect(t, y, hello("one"))
	c.send(`"action":"push","path":"/data/a","data":{}`)
	select {
	case err := <-fatal:
		if text := err.Error(); len(text) < 200 {
			t.Errorf("without a stack: %s", text)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
}
