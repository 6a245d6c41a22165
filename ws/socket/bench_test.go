//go:build unix

package socket

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vera"
	"vera/test/bubble"
)

// answering is a connection that answers each message with the same one.
type answering struct {
	socket *Socket
	answer []byte
	due    bool
	ended  chan vera.Ending
}

func (a *answering) Receive([]byte) bool {
	a.due = true
	a.socket.Wake()
	return true
}

func (a *answering) Pull(batch [][]byte, _ int) [][]byte {
	if a.due {
		batch = append(batch, a.answer)
	}
	a.due = false
	return batch
}

func (a *answering) Closed(how vera.Ending) { a.ended <- how }

// BenchmarkRoundTrip is one small message in and one out, through the kernel.
// The client's side allocates nothing, so that the allocations are ours.
func BenchmarkRoundTrip(b *testing.B) {
	for _, kind := range backends()[:2] {
		b.Run(kind.name, func(b *testing.B) {
			g := newGroup(b, kind.kind, limitsFor())
			theirs, ours := kind.pipe(b)
			a := &answering{socket: g.Socket(minute), answer: []byte(`{"rid":1,"code":"OK"}`), ended: make(chan vera.Ending, 1)}
			a.socket.Start(a, ours, nil, nil, nothing)
			request, answer := text(`{"rid":1,"action":"ping"}`), make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := theirs.Write(request); err != nil {
					b.Fatal(err)
				}
				if n, err := theirs.Read(answer); err != nil || n != 2+len(a.answer) {
					b.Fatal(n, err)
				}
			}
			_ = theirs.Close()
			<-a.ended
		})
	}
}

func TestARoundTripAllocatesLittle(t *testing.T) {
	g := newGroup(t, Goroutines(), limitsFor())
	theirs, ours := loopback(t)
	a := &answering{socket: g.Socket(minute), answer: []byte("answer"), ended: make(chan vera.Ending, 1)}
	a.socket.Start(a, ours, nil, nil, nothing)
	request, answer := text("request"), make([]byte, 100)
	allocations := testing.AllocsPerRun(500, func() {
		_, _ = theirs.Write(request)
		_, _ = theirs.Read(answer)
	})
	if allocations > 2 {
		t.Errorf("%v allocations a round trip", allocations)
	}
	_ = theirs.Close()
	<-a.ended
}

// BenchmarkWrites shows what many frames in one write save.
func BenchmarkWrites(b *testing.B) {
	for _, each := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(each, " messages a wake"), func(b *testing.B) {
			g := newGroup(b, Goroutines(), limitsFor())
			theirs, ours := loopback(b)
			e := &burst{socket: g.Socket(minute), message: []byte(strings.Repeat("n", 200)), ended: make(chan vera.Ending, 1)}
			e.socket.Start(e, ours, nil, nil, nothing)
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				for buffer := make([]byte, 1<<20); ; {
					if _, err := theirs.Read(buffer); err != nil {
						return
					}
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				e.left = each
				e.socket.Wake()
				for e.socket.writing.Load() != idle {
					runtime.Gosched()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/message")
			_ = theirs.Close()
			<-e.ended
			<-drained
		})
	}
}

type burst struct {
	socket  *Socket
	message []byte
	left    int
	ended   chan vera.Ending
}

func (*burst) Receive([]byte) bool { return true }
func (e *burst) Pull(batch [][]byte, _ int) [][]byte {
	for ; e.left > 0; e.left-- {
		batch = append(batch, e.message)
	}
	return batch
}
func (e *burst) Closed(how vera.Ending) { e.ended <- how }

// quiet is the least connection there can be.
type quiet struct{ left chan struct{} }

func (quiet) Receive([]byte) bool                 { return true }
func (quiet) Pull(batch [][]byte, _ int) [][]byte { return batch }
func (q quiet) Closed(vera.Ending)                { q.left <- struct{}{} }

// TestAnIdleSocketTakesLittleMemory opens sockets whose clients take no
// memory of this process, and looks at what the process got bigger by.
func TestAnIdleSocketTakesLittleMemory(t *testing.T) {
	const n = 3000
	g := newGroup(t, Goroutines(), limitsFor())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	q := quiet{make(chan struct{}, n)}
	heap, resident := memory()
	clients := make([]int, n)
	for i := range clients {
		if clients[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(clients[i], &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		g.Socket(minute).Start(q, conn, nil, nil, nothing)
		if _, err := unix.Write(clients[i], text(`{"action":"ping"}`)); err != nil {
			t.Fatal(err)
		}
	}
	heap2, resident2 := memory()
	each := (heap2 - heap) / n
	t.Logf("%d bytes a socket in heap and stacks, %d resident", each, (resident2-resident)/n)
	// A bare net.Conn with a goroutine takes 3,500 of them.
	if each > 4600 && !bubble.Raced {
		t.Errorf("%d bytes an idle socket", each)
	}
	for _, fd := range clients {
		_ = unix.Close(fd)
	}
	for range n {
		<-q.left
	}
	_ = l.Close()
}

// memory returns the bytes that the process uses, in heap and stacks and as the
// kernel counts them.
func memory() (used, resident int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, _ := os.ReadFile("/proc/self/statm")
	if words := strings.Fields(string(statm)); len(words) > 1 {
		pages, _ := strconv.Atoi(words[1])
		resident = pages * os.Getpagesize()
	}
	return int(m.HeapInuse + m.StackInuse + m.OtherSys + m.MSpanInuse), resident
}
