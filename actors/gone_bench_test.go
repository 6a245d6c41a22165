package actors

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vera/raft/state"
)

// BenchmarkPeerGone has the log declare a peer gone that lives, with so many
// sessions, and waits until each of them is attached again. Two clients go on
// meanwhile, one that pushes and one that pings: how long did they wait?
func BenchmarkPeerGone(b *testing.B) {
	for _, sessions := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) { benchmarkPeerGone(b, sessions) })
	}
}

func benchmarkPeerGone(b *testing.B, sessions int) {
	y, l := newSystem(b, func(o *Options) { o.Limits.Rate, o.Limits.SessionItems, o.Limits.ListItems = 1<<30, 1<<30, 1<<30 })
	for i := range sessions {
		newSink(b, y, hello(fmt.Sprint("holder", i)), func([]byte) {}).conn.Receive(pushMessage(i))
	}
	eventually(b, "all hold something", func() bool { return l.machine.Counts().Items == sessions })
	var attached atomic.Int64
	l.with(func() {
		l.applied = func(out state.Output) {
			for _, s := range out.Sessions {
				if s.What == state.Attached {
					attached.Add(1)
				}
			}
		}
	})
	var pushes, pings waits
	stop := make(chan struct{})
	var going sync.WaitGroup
	going.Go(func() { pushes.run(b, y, "pusher", string(pushMessage(0)), stop) })
	going.Go(func() { pings.run(b, y, "pinger", `{"rid":1,"action":"ping"}`, stop) })
	eventually(b, "a push", func() bool { return l.machine.Counts().Items > sessions })
	b.ResetTimer()
	for range b.N {
		attached.Store(0)
		l.gone(10 * time.Second)
		eventually(b, "all are attached again", func() bool { return attached.Load() >= int64(sessions) })
	}
	b.StopTimer()
	close(stop)
	going.Wait()
	pushes.report(b, "push")
	pings.report(b, "ping")
}

// waits is how long one client waited for its answers.
type waits []time.Duration

func (w *waits) run(b *testing.B, y *System, name, message string, stop chan struct{}) {
	answered := make(chan struct{}, 1)
	s := newSink(b, y, hello(name), func([]byte) { answered <- struct{}{} })
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-stop:
			return
		}
		began := time.Now()
		s.conn.Receive([]byte(message))
		<-answered
		*w = append(*w, time.Since(began))
	}
}

func (w waits) report(b *testing.B, what string) {
	slices.Sort(w)
	b.ReportMetric(float64(w[len(w)-1].Microseconds())/1000, what+"-longest-ms")
	b.ReportMetric(float64(w[len(w)/2].Microseconds())/1000, what+"-median-ms")
}
