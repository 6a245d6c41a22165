package actors

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"vera"
	"vera/test/bubble"
)

// sink is a socket whose client reads everything at once and only counts.
type sink struct {
	conn    vera.Connection
	ready   atomic.Bool
	writing atomic.Int32
	batch   [][]byte
	count   func(message []byte)
}

func (s *sink) Wake() {
	if !s.ready.Load() || s.writing.Add(1) > 1 {
		return
	}
	for {
		seen := s.writing.Load()
		for {
			s.batch = s.conn.Pull(s.batch[:0], 64<<10)
			if len(s.batch) == 0 {
				break
			}
			for _, m := range s.batch {
				s.count(m)
			}
		}
		if s.writing.CompareAndSwap(seen, 0) {
			return
		}
	}
}

func (s *sink) Resume()                      {}
func (s *sink) Close(vera.CloseCode, string) { go s.conn.Closed(vera.EndedByServer) }

func newSink(b testing.TB, y *System, h vera.Hello, count func([]byte)) *sink {
	s := &sink{count: count}
	s.connect(b, y, h)
	return s
}

func (s *sink) connect(b testing.TB, y *System, h vera.Hello) {
	conn, err := y.Connect(b.Context(), h, s)
	if err != nil {
		b.Fatal(err)
	}
	s.conn = conn
	s.ready.Store(true)
	s.Wake()
}

// BenchmarkPush is one push after another through connection, session, raft,
// the state machine and back, without disk or socket.
func BenchmarkPush(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchmarkPush(b, clients) })
	}
}

func benchmarkPush(b *testing.B, clients int) {
	y, _ := newSystem(b, func(o *Options) { o.Limits.Rate, o.Limits.SessionItems, o.Limits.ListItems = 1<<30, 1<<30, 1<<30 })
	var left atomic.Int64
	var done sync.WaitGroup
	var sockets []*sink
	for i := range clients {
		answered := make(chan struct{}, 1)
		s := newSink(b, y, hello(fmt.Sprint("client", i)), func([]byte) { answered <- struct{}{} })
		sockets = append(sockets, s)
		s.conn.Receive(pushMessage(i))
		<-answered // the session is open
		defer func() { close(answered) }()
		done.Go(func() {
			for range answered {
				if left.Add(-1) < 0 {
					return
				}
				s.conn.Receive(pushMessage(i))
			}
		})
	}
	left.Store(int64(b.N) + int64(clients))
	b.ReportAllocs()
	b.ResetTimer()
	for i, s := range sockets {
		left.Add(-1)
		s.conn.Receive(pushMessage(i))
	}
	done.Wait()
}

func pushMessage(client int) []byte {
	return fmt.Appendf(nil, `{"rid":1,"action":"push","path":"/data/bench/%d","limit":0,"data":{"name":"somebody","number":12345}}`, client)
}

// BenchmarkFanOut is one push that so many connections are told of, each by a
// message of its own.
func BenchmarkFanOut(b *testing.B) {
	for _, watchers := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) { benchmarkFanOut(b, watchers) })
	}
}

func benchmarkFanOut(b *testing.B, watchers int) {
	y, _ := newSystem(b, func(o *Options) { o.Limits.Rate, o.Limits.SessionItems, o.Limits.ListItems = 1<<30, 1<<30, 1<<30 })
	var told atomic.Int64
	all := make(chan struct{}, 1)
	for i := range watchers {
		h := hello(fmt.Sprint("watcher", i))
		h.Local = true
		s := newSink(b, y, h, func([]byte) {
			if told.Add(1) == int64(watchers) {
				told.Store(0)
				all <- struct{}{}
			}
		})
		s.conn.Receive([]byte(`{"rid":1,"action":"watch","path":"/data/bench/0","items":false}`))
	}
	<-all
	answered := make(chan struct{}, 1)
	pusher := newSink(b, y, hello("pusher"), func([]byte) { answered <- struct{}{} })
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		pusher.conn.Receive(pushMessage(0))
		<-answered
		<-all
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(watchers), "ns/watcher")
}

// memoryInUse is what the heap holds after everything unused was given back.
func memoryInUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIdleConnectionIsSmall measures connections of sessions of their own that
// watch one list each.
func TestIdleConnectionIsSmall(t *testing.T) {
	if bubble.Raced {
		t.Skip("the race detector changes what things weigh")
	}
	const n, bound = 20_000, 2_048
	y, _ := newSystem(t)
	var told atomic.Int64
	count := func([]byte) { told.Add(1) }
	sockets := make([]*sink, n)
	for i := range sockets {
		sockets[i] = &sink{count: count, batch: make([][]byte, 0, 1)}
	}
	before := memoryInUse()
	for i, s := range sockets {
		h := hello(fmt.Sprint("idle", i))
		h.Local = true
		s.connect(t, y, h)
		s.conn.Receive([]byte(`{"rid":1,"action":"watch","path":"/data/idle"}`))
		clear(s.batch[:1])
	}
	eventually(t, "all watches answered", func() bool { return told.Load() == n })
	each := (memoryInUse() - before) / n
	t.Logf("%d bytes a connection with its session, its outbox and one watch", each)
	if each > bound {
		t.Errorf("%d bytes a connection, at most %d", each, bound)
	}
	runtime.KeepAlive(sockets)
}
