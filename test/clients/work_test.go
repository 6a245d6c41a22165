package clients

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera"
	"vera/client"
)

const workers = 4

// number is what is pushed: the nth of a worker.
type number struct {
	By int `json:"by"`
	N  int `json:"n"`
}

// work is pushes of one client onto one list, by some workers at a time, each
// of which waits for an answer before it goes on.
type work struct {
	s       *stage
	t       testing.TB
	actor   *actor
	path    string
	stop    atomic.Bool
	running sync.WaitGroup
	mayEnd  bool // the session may: then the workers go on in the next one

	mu    sync.Mutex
	acks  []ack
	ended int // pushes that ended with their session
}

// ack is a push that was answered.
type ack struct {
	number
	version  uint64
	sent, at time.Time
}

// work has workers push until end.
func (s *stage) work(t testing.TB, a *actor, path string, mayEnd bool) *work {
	w := &work{s: s, t: t, actor: a, path: path, mayEnd: mayEnd}
	for by := range workers {
		w.running.Go(func() {
			for n := 1; !w.stop.Load() && w.push(number{by, n}); n++ {
				<-time.After(20 * time.Millisecond) // not as fast as it can
			}
		})
	}
	t.Cleanup(func() { w.stop.Store(true) })
	return w
}

// push says whether its worker goes on.
func (w *work) push(n number) bool {
	sent := time.Now()
	l, err := w.actor.ask(Command{Do: "push", Path: w.path, Data: n})
	w.mu.Lock()
	defer w.mu.Unlock()
	if refused, is := errors.AsType[*Refusal](err); is && w.mayEnd && refused.Code == string(vera.SessionEnded) {
		w.ended++
		return true
	}
	if err != nil {
		w.t.Errorf("push %+v: %v", n, err)
		return false
	}
	w.acks = append(w.acks, ack{n, l.Version, sent, time.Now()})
	return true
}

// next waits until each worker has an answer to a push that it began after a
// moment, and returns how long after it the last of these came.
func (w *work) next(since time.Time) (took time.Duration) {
	w.t.Helper()
	wait(w.t, "the next pushes to be answered", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		took = 0
		went := map[int]bool{}
		for _, a := range w.acks {
			if a.sent.After(since) && !went[a.By] {
				went[a.By] = true
				took = max(took, a.at.Sub(since))
			}
		}
		if len(went) < workers {
			return fmt.Errorf("%d of %d workers went on", len(went), workers)
		}
		return nil
	})
	return took
}

// end stops the workers and holds the list to what was acknowledged: it is
// there, once, in its worker's order, unless it was told to be lost. It returns
// the list.
func (w *work) end() (items []client.Item) {
	w.t.Helper()
	w.stop.Store(true)
	w.running.Wait()
	wait(w.t, w.path+" to hold what it should", func() error {
		items = w.s.list(w.t, w.path)
		return w.holds(items)
	})
	w.t.Logf("%d pushes acknowledged, %d lost or ended with their session", len(w.acks), w.ended+len(w.acks)-len(items))
	return items
}

func (w *work) holds(items []client.Item) error {
	lost := map[uint64]bool{}
	for _, e := range w.actor.heard("lost") {
		lost[e.Version] = true
	}
	var want []uint64
	numbers := map[uint64]number{}
	for _, a := range w.acks {
		if numbers[a.version] = a.number; !lost[a.version] {
			want = append(want, a.version)
		}
	}
	slices.Sort(want)
	if got := versions(items); !slices.Equal(got, want) {
		return fmt.Errorf("acknowledged and not told lost are %v, the list holds %v", want, got)
	}
	last := [workers]int{}
	for _, item := range items {
		var n number
		if err := item.Decode(&n); err != nil {
			return err
		}
		if n != numbers[item.Version] || n.N <= last[n.By] {
			return fmt.Errorf("item %d is %+v, after %d; acknowledged with that version was %+v", item.Version, n, last[n.By], numbers[item.Version])
		}
		last[n.By] = n.N
	}
	return nil
}
