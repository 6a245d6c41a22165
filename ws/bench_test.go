//go:build unix

package ws

import (
	"context"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vera"
	"vera/test/bubble"
)

// quiet is a connection that never has anything to say.
type quiet struct{}

func (quiet) Receive([]byte) bool                 { return true }
func (quiet) Pull(batch [][]byte, _ int) [][]byte { return batch }
func (quiet) Closed(vera.Ending)                  {}

// calm is a peer that costs nothing, so that what is measured is ours.
type calm struct{ vera.Service }

// Connect accepts everybody.
func (calm) Connect(context.Context, vera.Hello, vera.Socket) (vera.Connection, error) {
	return quiet{}, nil
}

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

// TestAnIdleConnectionTakesLittleMemory opens WebSockets the whole way through
// net/http, from sockets that take no memory of this process.
func TestAnIdleConnectionTakesLittleMemory(t *testing.T) {
	const n = 3000
	server, addr := serveCalm(t, n)
	head := "GET /connect HTTP/1.1\r\nHost: " + addr.String() + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	heap, resident := memory()
	clients := make([]int, n)
	for i := range clients {
		clients[i] = rawConnect(t, addr, head)
	}
	heap2, resident2 := memory()
	each := (heap2 - heap) / n
	t.Logf("%d bytes an idle connection in heap and stacks, %d resident", each, (resident2-resident)/n)
	if server.sockets.Len() != n {
		t.Errorf("%d sockets", server.sockets.Len())
	}
	if each > 4800 && !bubble.Raced {
		t.Errorf("%d bytes an idle connection", each)
	}
	for _, fd := range clients {
		_ = unix.Close(fd)
	}
}

func serveCalm(t testing.TB, n int) (*Server, *net.TCPAddr) {
	o := options(&buffer{})
	o.Limits.Connections = 2 * n
	server, err := New(o, calm{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Close)
	return server, l.Addr().(*net.TCPAddr)
}

// rawConnect opens a WebSocket on a descriptor that Go does not know.
func rawConnect(t testing.TB, addr *net.TCPAddr, head string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte(head)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1000)
	if n, err := unix.Read(fd, answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 101 ") {
		t.Fatalf("%q %v", answer[:n], err)
	}
	return fd
}

func BenchmarkConnect(b *testing.B) {
	server, addr := serveCalm(b, 1000)
	head := "GET /connect HTTP/1.1\r\nHost: " + addr.String() + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	b.ReportAllocs()
	for b.Loop() {
		_ = unix.Close(rawConnect(b, addr, head))
	}
	until(b, "all are gone", func() bool { return server.sockets.Len() == 0 })
}

func BenchmarkGet(b *testing.B) {
	p := newPeer(b, nil)
	p.push("/data/x", vera.SessionID{}, "127.0.0.1", `{"name":"me"}`)
	conn := dial(b, p.addr)
	_ = conn.SetDeadline(time.Time{})
	request, answer := []byte(p.get("/data/x")), make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
}
