package state

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"vera"
)

// benchPeer hands over batches for one peer, encoded ahead of time where the
// encoding is not what is measured.
type benchPeer struct {
	machine *Machine
	index   uint64
	batch   Batch
}

func newBenchPeer() *benchPeer {
	p := &benchPeer{machine: New(), batch: Batch{Peer: 1 << 62, Incarnation: 1, First: 1}}
	p.apply(Command{Kind: PeerUp})
	return p
}

// entry encodes the next batch.
func (p *benchPeer) entry(commands ...Command) []byte {
	p.batch.Commands = commands
	entry := p.batch.Append(nil)
	p.batch.First += uint64(len(commands))
	return entry
}

func (p *benchPeer) apply(commands ...Command) Output {
	p.index++
	return p.machine.Apply(p.index, p.entry(commands...))
}

// open begins the session with that number and returns its life.
func (p *benchPeer) open(n int) uint64 {
	return p.apply(Command{Kind: Open, Session: benchSession(n), Grace: time.Second}).Replies[0].Life
}

func benchSession(n int) vera.SessionID {
	return vera.SessionID{byte(n), byte(n >> 8), byte(n >> 16)}
}

func benchPush(session int, life uint64, path vera.Path) Command {
	return Command{
		Kind: Push, Session: benchSession(session), Life: life, Path: path, Owner: "10.99.99.14",
		Data:         []byte(`{"host":"web-17.us-east.example.com","port":8080,"weight":10,"zone":"b","started":1700000000}`),
		SessionItems: 1 << 40, ListItems: 1 << 40,
	}
}

// fill pushes n items of that session onto a list.
func (p *benchPeer) fill(n, session int, life uint64, path vera.Path) {
	for range n {
		p.apply(benchPush(session, life, path))
	}
}

// cpu is the processor time that this process has used, in ns: what counts on
// a machine that is busy with other things.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPush is 1,000 sessions that push onto 1,000 lists. The entries are
// encoded before, in rounds, and the machine begins anew with each round.
func BenchmarkPush(b *testing.B) {
	const sessions, lists, round = 1_000, 1_000, 100_000
	var p *benchPeer
	var lives []uint64
	entries, left := [][]byte{}, 0
	used, begun := 0.0, cpu()
	b.ReportAllocs()
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			used += cpu() - begun
			p, lives = benchSessions(sessions)
			entries = entries[:0]
			for i := range round {
				s := i % sessions
				path := vera.Path(fmt.Sprintf("/data/services/zone-%d", i*7%lists))
				entries = append(entries, p.entry(benchPush(s, lives[s], path)))
			}
			left = round
			begun = cpu()
			b.StartTimer()
		}
		p.index++
		p.machine.Apply(p.index, entries[round-left])
		left--
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	b.ReportMetric((used+cpu()-begun)/float64(b.N), "cpu-ns/op")
}

func benchSessions(n int) (p *benchPeer, lives []uint64) {
	p = newBenchPeer()
	for s := range n {
		lives = append(lives, p.open(s))
	}
	return p, lives
}

// BenchmarkChurn takes one item off a list of 100,000 and pushes another.
func BenchmarkChurn(b *testing.B) {
	for _, from := range []string{"head", "middle"} {
		b.Run(from, func(b *testing.B) {
			const items = 100_000
			p := newBenchPeer()
			life := p.open(1)
			p.fill(items, 1, life, "/data/queue")
			remove := Command{Kind: Remove, Session: benchSession(1), Life: life, Path: "/data/queue", Version: p.index - items + 1}
			if from == "middle" {
				remove.Version += items / 2
			}
			b.ReportAllocs()
			for b.Loop() {
				if out := p.apply(remove); len(out.Changes) != 1 {
					b.Fatal("nothing was removed")
				}
				p.apply(benchPush(1, life, "/data/queue"))
				remove.Version++
				if l, _ := p.machine.List("/data/queue"); l.Find(remove.Version) == nil {
					remove.Version = l.Head().Version
				}
			}
		})
	}
}

// BenchmarkSessionEnd ends a session that holds 10,000 items on one list of
// 100,000, and another with one item on each of 10,000 lists.
func BenchmarkSessionEnd(b *testing.B) {
	const held = 10_000
	for _, shape := range []string{"one list of 100000", "10000 lists"} {
		b.Run(shape, func(b *testing.B) {
			p := newBenchPeer()
			stays := p.open(1)
			if shape != "10000 lists" {
				p.fill(100_000-held, 1, stays, "/data/list")
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				life := p.open(2)
				for i := range held {
					path := vera.Path("/data/list")
					if shape == "10000 lists" {
						path = vera.Path(fmt.Sprintf("/data/list/%d", i))
					}
					p.apply(benchPush(2, life, path))
				}
				entry := p.entry(Command{Kind: End, Session: benchSession(2), Life: life, Reason: vera.Closed})
				p.index++
				b.StartTimer()
				if out := p.machine.Apply(p.index, entry); len(out.Changes) == 0 {
					b.Fatal("nothing was removed")
				}
			}
		})
	}
}

// BenchmarkExpire ends 1,000 sessions with one entry, each with an item on the
// same list.
func BenchmarkExpire(b *testing.B) {
	const sessions = 1_000
	p := newBenchPeer()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		ends := []Command{}
		for s := range sessions {
			life := p.open(s)
			p.apply(benchPush(s, life, "/data/list"))
			ends = append(ends, Command{Kind: End, Session: benchSession(s), Life: life, Reason: vera.Ended})
		}
		entry := p.entry(ends...)
		p.index++
		b.StartTimer()
		if out := p.machine.Apply(p.index, entry); len(out.Sessions) != sessions {
			b.Fatal("not all ended")
		}
	}
}

// BenchmarkList reads lists while another goroutine pushes onto them.
func BenchmarkList(b *testing.B) {
	for _, busy := range []bool{false, true} {
		b.Run(map[bool]string{false: "at rest", true: "while applying"}[busy], func(b *testing.B) {
			paths := []vera.Path{"/data/a", "/data/b", "/data/c", "/data/d"}
			p := newBenchPeer()
			life := p.open(1)
			stop, stopped := make(chan struct{}), make(chan int)
			go func() {
				n := 0
				defer func() { stopped <- n }()
				for ; busy; n++ {
					select {
					case <-stop:
						return
					default:
						p.apply(benchPush(1, life, paths[n%len(paths)]))
					}
				}
			}()
			b.ReportAllocs()
			b.ResetTimer()
			i := 0
			for b.Loop() {
				if l, index := p.machine.List(paths[i%len(paths)]); l.Changed() > index {
					b.Fatal("from the future")
				}
				i++
			}
			close(stop)
			b.ReportMetric(float64(<-stopped)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}

// BenchmarkDiff compares two states of a list of 100,000 that differ by one item.
func BenchmarkDiff(b *testing.B) {
	p := newBenchPeer()
	life := p.open(1)
	p.fill(100_000, 1, life, "/data/list")
	before, _ := p.machine.List("/data/list")
	p.apply(benchPush(1, life, "/data/list"))
	after, _ := p.machine.List("/data/list")
	b.ReportAllocs()
	for b.Loop() {
		if added, _, _ := Diff(before, after, vera.NoLimit); len(added) != 1 {
			b.Fatal(len(added))
		}
	}
}

// BenchmarkSnapshot captures, writes and restores 10,000 sessions with 100,000
// items on 1,000 lists.
func BenchmarkSnapshot(b *testing.B) {
	p, lives := benchSessions(10_000)
	for i := range 100_000 {
		s := i % len(lives)
		p.apply(benchPush(s, lives[s], vera.Path(fmt.Sprintf("/data/list/%d", i%1_000))))
	}
	var snapshot bytes.Buffer
	if _, err := p.machine.Snapshot().WriteTo(&snapshot); err != nil {
		b.Fatal(err)
	}
	b.Run("capture", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.machine.Snapshot()
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(snapshot.Len()))
		for b.Loop() {
			if _, err := p.machine.Snapshot().WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(snapshot.Len()))
		for b.Loop() {
			if err := New().Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBatch is the log's format alone.
func BenchmarkBatch(b *testing.B) {
	p := newBenchPeer()
	batch := Batch{Peer: 1 << 62, Incarnation: 1, First: 2, Commands: []Command{benchPush(1, 2, "/data/services/zone-17")}}
	entry := p.entry(batch.Commands...)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			entry = batch.Append(entry[:0])
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseBatch(entry); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPeerGone takes 100,000 attachments away with one entry.
func BenchmarkPeerGone(b *testing.B) {
	const sessions = 100_000
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		p := newBenchPeer()
		for s := range sessions {
			p.open(s)
		}
		gone := Batch{Commands: []Command{{Kind: PeerGone, Peer: p.batch.Peer, Incarnation: 1, Grace: time.Second}}}
		entry := gone.Append(nil)
		p.index++
		b.StartTimer()
		if out := p.machine.Apply(p.index, entry); len(out.Sessions) != sessions {
			b.Fatal("not all were attached")
		}
	}
}
