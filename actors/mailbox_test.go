package actors

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

// number is a message of a test.
type number struct {
	link
	from, n int
}

// listener is an actor that does what a test says.
type listener struct {
	box     mailbox
	hear    func(message)
	settled atomic.Int64
	born    atomic.Int64 // restarts
	lost    atomic.Value
}

func (l *listener) Receive(c actor.Context) {
	if m, ok := c.Message().(message); ok {
		l.hear(m)
	}
}
func (l *listener) settle() { l.settled.Add(1) }
func (l *listener) reborn(m message) {
	l.born.Add(1)
	if m != nil {
		l.lost.Store(m)
	}
}
func (l *listener) describe() any { return "listening" }

// newListener spawns an actor of a kind of its own.
func newListener(t testing.TB, hear func(message), decide func(actor.Supervisor, *failure)) *listener {
	t.Helper()
	l := &listener{hear: hear}
	k := newKind(shared(), newRunners(), "listener", decide)
	k.spawn(l, &l.box, shared().Root.Copy().WithGuardian(supervision{}).Self())
	t.Cleanup(func() {
		l.box.stop()
		eventually(t, "the actor stops", func() bool { return k.count() == 0 })
		eventually(t, "the runners stop", k.runners.stop)
	})
	return l
}

func TestMailboxKeepsEverySendersOrder(t *testing.T) {
	const senders, each = 8, 5_000
	var last [senders]int
	var handling, heard atomic.Int32
	l := newListener(t, func(m message) {
		if handling.Add(1) != 1 {
			t.Error("two handlers at once")
		}
		n := m.(*number)
		if n.n != last[n.from]+1 {
			t.Errorf("%d from %d behind %d", n.n, n.from, last[n.from])
		}
		last[n.from] = n.n
		heard.Add(1)
		handling.Add(-1)
	}, nil)
	var all sync.WaitGroup
	for from := range senders {
		all.Go(func() {
			for n := 1; n <= each; n++ {
				m := &number{from: from, n: n}
				if n%3 == 0 {
					l.box.lend(m)
				} else {
					l.box.post(m)
				}
			}
		})
	}
	all.Wait()
	eventually(t, "all messages heard", func() bool { return heard.Load() == senders*each })
	eventually(t, "the mailbox rests", func() bool { return l.box.head.Load() == nil })
	if got := l.box.handled.Load(); got != senders*each {
		t.Errorf("counted %d messages of %d", got, senders*each)
	}
	if l.box.depth() != 0 || l.settled.Load() == 0 {
		t.Errorf("depth %d, settled %d times", l.box.depth(), l.settled.Load())
	}
}

func TestMailboxHandlesOnTheLendersGoroutine(t *testing.T) {
	here, heard := 0, 0
	var l *listener
	l = newListener(t, func(m message) {
		heard++
		if m.(*number).n == 1 {
			l.box.lend(&number{n: 2}) // to itself: handled behind this one, not inside it
			here = heard
		}
	}, nil)
	l.box.lend(&number{n: 1})
	if here != 1 || heard != 2 {
		t.Errorf("handled %d inside the first, %d in all when lend returned", here, heard)
	}
}

func TestMailboxMeasuresItsDepth(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	l := newListener(t, func(m message) {
		if m.(*number).n == 0 {
			entered <- struct{}{}
			<-release
		}
	}, nil)
	l.box.post(&number{})
	<-entered
	for n := range 1000 {
		l.box.post(&number{n: n + 1})
	}
	if d := l.box.depth(); d < 1000 || d > 1001 {
		t.Errorf("depth %d with 1000 waiting", d)
	}
	close(release)
	eventually(t, "all handled", func() bool { return l.box.depth() == 0 && l.box.handled.Load() == 1001 })
	if l.box.deepest.Load() != 1000 || l.box.kind.deepest.Load() != 1000 {
		t.Errorf("deepest %d, of the kind %d", l.box.deepest.Load(), l.box.kind.deepest.Load())
	}
}

func TestMailboxGivesBackWhatABurstTook(t *testing.T) {
	const n = 50_000
	release := make(chan struct{})
	var collected, heard atomic.Int64
	l := newListener(t, func(m message) {
		if m.(*number).n == 0 {
			<-release
		}
		heard.Add(1)
	}, nil)
	l.box.post(&number{})
	for i := range n {
		m := &number{n: i + 1}
		runtime.AddCleanup(m, func(int) { collected.Add(1) }, 0)
		l.box.post(m)
	}
	close(release)
	eventually(t, "all heard", func() bool { return heard.Load() == n+1 })
	eventually(t, "all collected", func() bool {
		runtime.GC()
		return collected.Load() >= n-1
	})
}

func TestMailboxRestartsAfterAPanicAndLosesOnlyThatMessage(t *testing.T) {
	var heard atomic.Int64
	var seen atomic.Pointer[failure]
	l := newListener(t, func(m message) {
		if m.(*number).n%10 == 0 {
			panic(errors.New("every tenth"))
		}
		heard.Add(1)
	}, func(s actor.Supervisor, f *failure) {
		seen.Store(f)
		s.RestartChildren(f.box.pid)
	})
	for n := range 1000 {
		l.box.post(&number{n: n})
	}
	eventually(t, "the others heard", func() bool { return heard.Load() == 900 && l.born.Load() == 100 })
	f := seen.Load()
	if f.lost.(*number).n%10 != 0 || len(f.stack) == 0 || f.reason.(error).Error() != "every tenth" {
		t.Errorf("failure %+v", f)
	}
	if got := l.lost.Load().(*number); got.n%10 != 0 {
		t.Errorf("reborn with message %d", got.n)
	}
	if l.box.kind.restarts.Load() != 100 {
		t.Errorf("%d restarts counted", l.box.kind.restarts.Load())
	}
}

func TestMailboxSurvivesAHandlerThatLeavesItsGoroutine(t *testing.T) {
	var heard atomic.Int64
	l := newListener(t, func(m message) {
		if m.(*number).n == 1 {
			runtime.Goexit()
		}
		heard.Add(1)
	}, func(s actor.Supervisor, f *failure) { s.RestartChildren(f.box.pid) })
	for n := range 3 {
		l.box.post(&number{n: n})
	}
	eventually(t, "the others heard", func() bool { return heard.Load() == 2 })
}

func TestMailboxStoppedHandlesNothingMore(t *testing.T) {
	var heard atomic.Int64
	l := newListener(t, func(message) { heard.Add(1) }, nil)
	l.box.lend(&number{})
	l.box.stop()
	eventually(t, "it is gone", func() bool { return l.box.kind.count() == 0 })
	l.box.lend(&number{})
	l.box.stop()
	if heard.Load() != 1 || l.box.kind.handled() == 0 {
		t.Errorf("heard %d, counted %d", heard.Load(), l.box.kind.handled())
	}
}

func BenchmarkMailbox(b *testing.B) {
	for _, c := range []struct {
		name string
		send func(*mailbox, message)
	}{{"lend", (*mailbox).lend}, {"post", (*mailbox).post}} {
		b.Run(c.name, func(b *testing.B) {
			heard := make(chan struct{}, 1)
			l := newListener(b, func(message) { heard <- struct{}{} }, nil)
			m := &number{}
			b.ReportAllocs()
			for b.Loop() {
				c.send(&l.box, m)
				<-heard
				for l.box.head.Load() != nil {
					runtime.Gosched()
				}
			}
		})
	}
}
