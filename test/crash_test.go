package test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/lean"
)

// crowd is many sessions, each with an item and a watch.
type crowd struct {
	path    string
	cookies []string
	items   []uint64
}

const crowdLists = 10

func (w *crowd) list(n int) string { return fmt.Sprint(w.path, "/", n%crowdLists) }

// each calls f for the numbers below n, sixteen at a time.
func each(n int, f func(n int)) {
	numbers := make(chan int)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for n := range numbers {
				f(n)
			}
		})
	}
	for n := range n {
		numbers <- n
	}
	close(numbers)
	all.Wait()
}

// gather connects the crowd; every one pushes and watches.
func gather(t *testing.T, p *peer, size int) *crowd {
	w := &crowd{path: here(t), cookies: make([]string, size), items: make([]uint64, size)}
	each(size, func(n int) {
		c, err := lean.Dial(p.client, "?heartbeatMs=60000", 1024)
		if err != nil {
			t.Errorf("connect: %v", err)
			return
		}
		t.Cleanup(func() { c.Conn.Close() })
		s := &speaker{t, c}
		w.cookies[n] = c.Cookie
		r := s.tryAsk(fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":{"n":%d},"limit":0}`, w.list(n), n))
		w.items[n] = r.Version
		if r = s.tryAsk(fmt.Sprintf(`{"rid":2,"action":"watch","path":"%s/watched/%d","limit":1}`, w.path, n)); r.Code != vera.OK {
			t.Errorf("watch: %s", r.raw)
		}
	})
	return w
}

// holds fails unless the session has all it had.
func (w *crowd) holds(t *testing.T, n int, s client.Session) {
	watched := fmt.Sprintf("%s/watched/%d", w.path, n)
	if !s.Resumed || !slices.Equal(s.Items, []client.Held{{Path: w.list(n), Version: w.items[n]}}) || len(s.Watches) != 1 || s.Watches[0].Path != watched {
		t.Errorf("session %d came back as %s", n, text(s))
	}
}

// thinsOut waits until half of those who pushed onto a list are gone from it.
// None may go before the failover grace is over, and none stay long after.
func (w *crowd) thinsOut(t *testing.T, c *caller, list int, failover time.Duration, killed, restarted time.Time) {
	t.Helper()
	f := c.watch(w.list(list))
	known := versions(f.began.Items)
	if time.Since(killed) < failover && len(known) != len(w.items)/crowdLists {
		t.Errorf("list %d has %d items %v after the kill", list, len(known), time.Since(killed))
	}
	for len(known) > len(w.items)/crowdLists/2 {
		n := f.next()
		known = versions(n.Items)
		if since := time.Since(killed); len(n.Removed) > 0 && since < failover {
			t.Errorf("%d items were gone %v after the kill", len(n.Removed), since)
		}
	}
	if late(restarted, time.Now(), failover+3*slack) { // hundreds expire at once
		t.Errorf("list %d: the others were gone %v after the restart", list, time.Since(restarted))
	}
}

func TestAfterKill9ThoseWhoComeBackHaveAllTheyHadAndTheOthersAreGone(t *testing.T) {
	const size, failover = 1000, 4 * time.Second
	p := startPeer(t, "--failover-grace", failover.String())
	w := gather(t, p, size)
	if t.Failed() {
		return
	}
	p.kill(t)
	killed := time.Now()
	p.restart(t)
	restarted := time.Now()

	back := make([]*caller, size/2)
	each(size/2, func(n int) {
		c, err := tryCall(t, p, client.Options{Cookie: w.cookies[n]})
		if err != nil {
			t.Errorf("session %d: %v", n, err)
			return
		}
		s, err := c.Session(within(t, patience))
		if err != nil {
			t.Errorf("session %d: %v", n, err)
		}
		w.holds(t, n, s)
		back[n] = c
	})
	if t.Failed() {
		return
	}
	t.Logf("%d sessions were back %v after the kill", size/2, time.Since(killed).Round(time.Millisecond))

	fresh := call(t, p, client.Options{})
	if pushed := fresh.push(w.path+"/new", number(0)); pushed.Version <= slices.Max(w.items) {
		t.Errorf("version %d after %d", pushed.Version, slices.Max(w.items))
	}
	for list := range crowdLists {
		w.thinsOut(t, fresh, list, failover, killed, restarted)
	}
	for list := range crowdLists {
		for _, item := range fresh.get(w.list(list)).Items {
			if n := slices.Index(w.items, item.Version); n < 0 || n >= size/2 {
				t.Errorf("item %d of session %d is still there", item.Version, n)
			}
		}
	}
	if s := call(t, p, client.Options{Cookie: w.cookies[size-1]}).session(); s.Resumed {
		t.Errorf("one that did not come back in time: %s", text(s))
	}
}

func TestKill9InTheMiddleOfPushesLosesNothingThatWasAnswered(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	c := call(t, p, client.Options{})
	var answered []uint64
	for round := range 3 {
		dying := time.AfterFunc(time.Duration(100+70*round)*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		for n := 0; ; n++ {
			l, err := c.Push(within(t, patience), path, number(n), client.Limit(0))
			if err != nil {
				break
			}
			answered = append(answered, l.Version)
		}
		dying.Stop()
		<-p.exited
		p.restart(t)
		c = call(t, p, client.Options{Cookie: c.Cookie()})
		if s := c.session(); !s.Resumed {
			t.Fatalf("round %d: came back as a new life", round)
		}
		listed := versions(c.get(path).Items)
		for _, version := range answered {
			if !slices.Contains(listed, version) {
				t.Fatalf("round %d: item %d was answered and is lost", round, version)
			}
		}
		if !slices.IsSorted(listed) {
			t.Errorf("round %d: versions %v", round, listed)
		}
	}
	if len(answered) < 30 {
		t.Errorf("only %d pushes were answered: this showed little", len(answered))
	}
}

func TestSIGTERMSendsSocketsAwayAndLosesNothing(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	var callers []*caller
	for n := range 10 {
		c := call(t, p, client.Options{Grace: client.NoGrace}) // the failover grace counts for it all the same
		c.push(path, number(n))
		c.watch(path, client.Limit(1))
		callers = append(callers, c)
	}
	before := callers[0].get(path)
	if err := p.terminate(); err != nil { // it must end with 0
		t.Fatal(err)
	}
	for _, c := range callers {
		c.closedWith(vera.CloseGoingAway)
	}
	p.restart(t)
	for n, old := range callers {
		c := call(t, p, client.Options{Cookie: old.Cookie()})
		if s := c.session(); !s.Resumed || len(s.Items) != 1 || s.Items[0].Version != before.Items[n].Version || len(s.Watches) != 1 {
			t.Errorf("client %d came back as %s", n, text(s))
		}
		callers[n] = c
	}
	if l := callers[0].get(path); text(l.Items) != text(before.Items) || l.ETag != before.ETag {
		t.Errorf("after the restart: %s, before: %s", text(l), text(before))
	}
}

func TestReadinessFollowsTheDrain(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--drain", "3s")
	for _, route := range []string{"/livez", "/readyz", "/readyz?verbose"} {
		if status, body := page(t, p, route); status != 200 {
			t.Errorf("%s: %d %s", route, status, body)
		}
	}
	for range 5 {
		call(t, p, client.Options{})
	}
	ended := make(chan error, 1)
	go func() { ended <- p.terminate() }()
	eventually(t, "not ready", func() bool {
		select {
		case <-p.exited:
			return true
		default:
		}
		response, err := quickHTTP().Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == 503
	})
	select {
	case <-p.exited:
		t.Error("it was over before it said that it is not ready")
	default:
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
