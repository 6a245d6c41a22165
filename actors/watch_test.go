package actors

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"vera"
	"vera/test/bubble"
)

// A watch that begins while others push misses nothing between its answer and
// its first notification.
func TestWatchBeginsWithoutAGap(t *testing.T) {
	const pushers, pushes, watchers = 10, 100, 20
	y, l := newSystem(t)
	h := record(l, "/data/a")
	var all sync.WaitGroup
	for i := range pushers {
		c := connect(t, y, hello(fmt.Sprint("pusher", i)))
		all.Go(func() {
			for n := range pushes {
				c.send(`"action":"push","path":"/data/a","limit":0,"data":{"n":%d}`, n)
			}
		})
	}
	clients := make([]*client, watchers)
	rids := make([]string, watchers)
	for i := range clients {
		clients[i] = connect(t, y, hello(fmt.Sprint("watcher", i)))
		rids[i] = clients[i].send(`"action":"watch","path":"/data/a","items":%v`, i < 2)
	}
	all.Wait()
	eventually(t, "all pushed", func() bool { return items(l, "/data/a") == pushers*pushes })
	for i, c := range clients {
		last := h.last().index
		c.wait(0, "the last change", func(m *told) bool {
			return m.Path == "/data/a" && m.Index >= last || m.RID == rids[i] && m.Index >= last
		})
		m := newMirror(h, vera.NoLimit)
		m.follow(t, c.messages(), rids[i])
		if !m.final() {
			t.Errorf("watcher %d knows %d items at %d; there are %d at %d", i, len(m.known), m.index, h.last().list.Len(), h.last().index)
		}
	}
}

// busyList has sessions push, update, remove and end at random until done.
func busyList(t *testing.T, y *System, path string, seed uint64, steps int) {
	random := rand.New(rand.NewPCG(seed, 1))
	var c *client
	var mine []uint64
	lives := 0
	for range steps {
		if c == nil {
			lives++
			c, mine = connect(t, y, hello(fmt.Sprintf("busy %s %d %d", path, seed, lives))), nil
		}
		switch n := random.IntN(20); {
		case n < 9 || len(mine) == 0:
			mine = append(mine, c.ok(`"action":"push","path":%q,"limit":0,"data":{"n":%d}`, path, n).Version)
		case n < 14:
			c.ok(`"action":"update","path":%q,"version":%d,"data":{"u":%d}`, path, mine[random.IntN(len(mine))], random.Int())
		case n < 18:
			i := random.IntN(len(mine))
			c.ok(`"action":"remove","path":%q,"version":%d`, path, mine[i])
			mine = append(mine[:i], mine[i+1:]...)
		default:
			c.leave(vera.EndedClean)
			c = nil
		}
	}
	if c != nil {
		c.leave(vera.EndedClean)
	}
}

// reader watches a list of which only the first limit items concern it.
type reader struct {
	*client
	rid   string
	limit int
}

// readers watch a list in all ways, the second half of them slowly.
func readers(t *testing.T, y *System) (all []reader) {
	t.Helper()
	for i := range 16 {
		limit := []int{vera.NoLimit, 1, 3, 0}[i%4]
		c := connect(t, y, hello(fmt.Sprint("reader", i)))
		options := ""
		if limit >= 0 {
			options = fmt.Sprintf(`,"limit":%d`, limit)
		}
		rid := c.send(`"action":"watch","path":"/data/a","items":%v%s`, i%8 < 4, options)
		c.answer(rid)
		c.slow.Store(i >= 8)
		all = append(all, reader{c, rid, limit})
	}
	return all
}

// read reads a little now and then until done, and says when that was enough
// for a test.
func (r reader) read(y *System, random *rand.Rand, done *atomic.Bool, enough func()) {
	told := 0
	for !done.Load() {
		for range random.IntN(2000) {
			y.now()
		}
		for _, message := range r.conn.Pull(nil, 1+random.IntN(500)) {
			r.take(message)
			if told++; told == 4 {
				enough()
			}
		}
	}
}

// Readers of any pace are told states that the list had, in order, by exact
// differences, and in the end the list as it is.
func TestSlowReadersAreToldExactDifferences(t *testing.T) {
	y, l := newSystem(t)
	h := record(l, "/data/a")
	readers := readers(t, y)
	var done atomic.Bool
	var busy, slow sync.WaitGroup
	var hungry atomic.Int32 // slow readers that were told too little yet
	for i, r := range readers[8:] {
		enough := func() {}
		if r.limit == vera.NoLimit {
			hungry.Add(1)
			enough = func() { hungry.Add(-1) }
		}
		slow.Go(func() { r.read(y, rand.New(rand.NewPCG(uint64(i), 2)), &done, enough) })
	}
	for seed := range uint64(4) {
		busy.Go(func() {
			for round := uint64(0); round == 0 || hungry.Load() > 0 && round < 100; round++ {
				busyList(t, y, "/data/a", seed+4*round, 150)
			}
		})
	}
	busy.Wait()
	eventually(t, "all sessions ended", func() bool { return items(l, "/data/a") == 0 })
	done.Store(true)
	slow.Wait()
	for i, r := range readers {
		r.slow.Store(false)
		var m *mirror
		eventually(t, "the last state told", func() bool {
			r.Wake()
			m = newMirror(h, r.limit)
			m.follow(t, r.messages(), r.rid)
			return m.final()
		})
		if r.limit == vera.NoLimit && m.told < 3 {
			t.Errorf("reader %d was told only %d times: nothing was tested", i, m.told)
		}
		if r.limit == 0 && m.told > 0 {
			t.Errorf("reader %d watches nothing and was told %d times", i, m.told)
		}
	}
}

func TestASessionsEndIsToldOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, _ := newSystem(t)
		holder := connect(t, y, hello("holder"))
		for range 500 {
			holder.send(`"action":"push","path":"/data/a","limit":0,"data":{}`)
		}
		synctest.Wait()
		watcher := connect(t, y, hello("watcher"))
		answer := watcher.ok(`"action":"watch","path":"/data/a","items":false`)
		if len(*answer.Items) != 500 {
			t.Fatalf("%d items", len(*answer.Items))
		}
		holder.leave(vera.EndedClean)
		synctest.Wait()
		behind := watcher.messages()[answer.received+1:]
		if len(behind) != 1 || len(behind[0].Removed) != 500 || behind[0].Removed[7].Reason != "closed" {
			t.Errorf("told %d times", len(behind))
		}
	})
}

func TestALimitedWatchIsSilentWhileItsWindowStays(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, _ := newSystem(t)
		head := connect(t, y, hello("head"))
		first := head.push("/data/a", `{"who":"head"}`)
		watcher := connect(t, y, hello("watcher"))
		answer := watcher.ok(`"action":"watch","path":"/data/a","limit":1`)
		next := connect(t, y, hello("next"))
		second := next.push("/data/a", `{"who":"next"}`)
		synctest.Wait()
		conn := (*connection)(watcher.conn.(*entrance))
		handled := conn.box.handled.Load()
		for range 700 { // more than a watch keeps of the past
			c := connect(t, y, hello("passing"))
			c.push("/data/a", `{}`)
			c.leave(vera.EndedClean)
			synctest.Wait()
		}
		if behind := watcher.messages()[answer.received+1:]; len(behind) != 0 {
			t.Fatalf("told %d times while the head stayed: %+v", len(behind), behind[0])
		}
		if n := conn.box.handled.Load() - handled; n > 10 {
			t.Errorf("poked %d times while the head stayed", n)
		}
		now, _ := y.list("/data/a")
		conn.out.mu.Lock()
		if old := now.Changed() - conn.lookouts[0].told.Changed(); old > 3*refreshAfter {
			t.Errorf("it keeps a state of %d indexes ago in memory", old)
		}
		conn.out.mu.Unlock()
		head.leave(vera.EndedClean)
		m := watcher.notified(answer)
		if len(m.Removed) != 1 || m.Removed[0].Version != first.Version || len(m.Added) != 1 || m.Added[0].Version != second.Version || len(*m.Items) != 1 {
			t.Errorf("when the head left: %+v", m)
		}
	})
}

func TestWithoutItemsOnlyTheDifferenceIsTold(t *testing.T) {
	y, _ := newSystem(t)
	pusher := connect(t, y, hello("pusher"))
	pusher.push("/data/a", `{"n":1}`)
	watcher := connect(t, y, hello("watcher"))
	answer := watcher.ok(`"action":"watch","path":"/data/a","items":false`)
	if answer.Items == nil || len(*answer.Items) != 1 {
		t.Errorf("the answer: %+v", answer)
	}
	second := pusher.push("/data/a", `{"n":2}`)
	m := watcher.notified(answer)
	if m.Items != nil || m.Reset || len(m.Added) != 1 || m.Added[0].Version != second.Version {
		t.Errorf("notified: %+v", m)
	}
}

func TestWatchingAgainReplacesTheOptions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		other := connect(t, y, again(hello("one")))
		quiet := again(hello("one"))
		quiet.Quiet = true
		silent := connect(t, y, quiet)
		c.ok(`"action":"watch","path":"/data/a"`)
		synctest.Wait()
		c.ok(`"action":"watch","path":"/data/a","limit":1,"items":false`)
		synctest.Wait()
		if w := l.machine.Session(sessionID("one")).Watches(); len(w) != 1 || w[0].Limit != 1 || w[0].Items {
			t.Errorf("the log has %+v", w)
		}
		pusher := connect(t, y, hello("pusher"))
		pusher.push("/data/a", `{}`)
		pusher.push("/data/a", `{}`)
		synctest.Wait()
		told := c.messages()
		if last := told[len(told)-1]; last.Action != "notify" || len(last.Added) != 1 || last.Items != nil {
			t.Errorf("told %+v", last)
		}
		var resets, others int
		for _, m := range other.messages() {
			if m.Reset {
				resets++
			} else if m.Action == "notify" {
				others++
			}
		}
		if resets != 2 || others != 1 {
			t.Errorf("the other connection: %d resets, %d notifications", resets, others)
		}
		if n := len(silent.messages()); n != 0 {
			t.Errorf("the quiet connection was told %d times", n)
		}
		if m := silent.ok(`"action":"watch","path":"/data/a"`); len(*m.Items) != 2 {
			t.Errorf("its own watch is answered %+v", m)
		}
	})
}

// What was not read yet when a watch ended is not told behind the answer.
func TestUnwatchTakesBackWhatWasNotRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, _ := newSystem(t)
		c, pusher := connect(t, y, hello("one")), connect(t, y, hello("pusher"))
		c.ok(`"action":"watch","path":"/data/a"`)
		c.slow.Store(true)
		pusher.push("/data/a", `{}`)
		synctest.Wait()
		rid := c.send(`"action":"unwatch","path":"/data/a"`)
		synctest.Wait()
		c.slow.Store(false)
		c.Wake()
		answer := c.answer(rid)
		if behind := c.messages()[answer.received+1:]; len(behind) != 0 {
			t.Errorf("told %+v", behind)
		}
	})
}

func TestAfterUnwatchNothingIsTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		y, l := newSystem(t)
		c := connect(t, y, hello("one"))
		other := connect(t, y, again(hello("one")))
		c.ok(`"action":"watch","path":"/data/a"`)
		synctest.Wait()
		answer := c.ok(`"action":"unwatch","path":"/data/a"`)
		connect(t, y, hello("pusher")).push("/data/a", `{}`)
		synctest.Wait()
		if behind := c.messages()[answer.received+1:]; len(behind) != 0 {
			t.Errorf("told %+v", behind)
		}
		for _, m := range other.messages() {
			if !m.Reset {
				t.Errorf("the other connection was told %+v", m)
			}
		}
		if w := l.machine.Session(sessionID("one")).Watches(); len(w) != 0 {
			t.Errorf("the log has %+v", w)
		}
		if n := y.kinds.watchPath.count(); n != 0 {
			t.Errorf("%d paths are watched", n)
		}
	})
}

// A client that changes its mind while its first wish is on its way to the log
// has the last one there in the end.
func TestTheLogHasTheLastOfManyWishes(t *testing.T) {
	for _, first := range []string{"watch", "watch watch", "watch watch watch", "watch unwatch watch"} {
		bubble.Test(t, func(t *testing.T) {
			y, l := newSystem(t)
			c := connect(t, y, hello("one"))
			c.push("/data/b", `{}`)
			l.hold(true)
			for i, action := range strings.Fields(first) {
				c.ok(`"action":%q,"path":"/data/a","limit":%d`, action, i+1)
			}
			c.ok(`"action":"unwatch","path":"/data/a"`)
			l.hold(false)
			synctest.Wait()
			if w := l.machine.Session(sessionID("one")).Watches(); len(w) != 0 {
				t.Errorf("%s unwatch: the log has %+v", first, w)
			}
			c.ok(`"action":"watch","path":"/data/a","limit":7`)
			synctest.Wait()
			if w := l.machine.Session(sessionID("one")).Watches(); len(w) != 1 || w[0].Limit != 7 {
				t.Errorf("%s unwatch watch: the log has %+v", first, w)
			}
		})
	}
}
