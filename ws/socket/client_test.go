package socket

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// masked is a client's frame.
func masked(fin bool, op gobwas.OpCode, payload string) []byte {
	f := gobwas.NewFrame(op, fin, []byte(payload))
	return gobwas.MustCompileFrame(gobwas.MaskFrameWith(f, [4]byte{0x37, 0xfa, 0x21, 0x3d}))
}

func text(payload string) []byte { return masked(true, gobwas.OpText, payload) }
func ping(payload string) []byte { return masked(true, gobwas.OpPing, payload) }

func closeFrame(code int, reason string) []byte {
	return masked(true, gobwas.OpClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// got is a frame of the server; the last one is the end of the stream.
type got struct {
	op      gobwas.OpCode
	payload string
	end     bool
}

func (f got) code() vera.CloseCode {
	if len(f.payload) < 2 {
		return vera.CloseEmpty
	}
	return vera.CloseCode(binary.BigEndian.Uint16([]byte(f.payload)))
}

func (f got) String() string {
	if f.end {
		return "end"
	}
	if f.op == gobwas.OpClose {
		return fmt.Sprintf("close %d", f.code())
	}
	return fmt.Sprintf("%x %.40q", f.op, f.payload)
}

// client is the other side of a socket. It reads all the time.
type client struct {
	conn   net.Conn
	frames chan got
	mute   bool // closing does not answer the Close frame
}

func newClient(t testing.TB, conn net.Conn) *client {
	c := &client{conn: conn, frames: make(chan got, 10_000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return c
}

func (c *client) read() {
	r := bufio.NewReader(c.conn)
	for {
		h, err := gobwas.ReadHeader(r)
		if err != nil {
			break
		}
		if gobwas.CheckHeader(h, gobwas.StateClientSide) != nil || !h.Fin {
			panic(fmt.Sprintf("the server sends %+v", h))
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			break
		}
		c.frames <- got{op: h.OpCode, payload: string(payload)}
	}
	c.frames <- got{end: true}
}

// send writes in portions of n bytes. That the server is gone meanwhile is
// for next to find out.
func (c *client) send(n int, stream []byte) {
	for len(stream) > 0 {
		n = min(n, len(stream))
		if _, err := c.conn.Write(stream[:n]); err != nil {
			return
		}
		stream = stream[n:]
	}
}

// next waits for a frame.
func (c *client) next(t testing.TB) got {
	t.Helper()
	select {
	case f := <-c.frames:
		return f
	case <-time.After(waitFor):
		t.Fatal("nothing comes from the server")
		return got{}
	}
}

// nextText waits for a message and passes over control frames.
func (c *client) nextText(t testing.TB) string {
	t.Helper()
	for {
		f := c.next(t)
		switch {
		case f.op == gobwas.OpText && !f.end:
			return f.payload
		case f.op == gobwas.OpClose, f.end:
			t.Fatalf("%v instead of a message", f)
		}
	}
}

// closing waits for the Close frame, answers it, waits for the end, and returns
// the code; CloseLost when there was none.
func (c *client) closing(t testing.TB) vera.CloseCode {
	t.Helper()
	code := CloseLost
	for {
		f := c.next(t)
		if f.end {
			return code
		}
		if f.op == gobwas.OpClose {
			if code != CloseLost {
				t.Fatal("a second Close frame")
			}
			if code = f.code(); !c.mute {
				c.send(100, masked(true, gobwas.OpClose, ""))
			}
		} else if code != CloseLost {
			t.Fatalf("%v behind the Close frame", f)
		}
	}
}

// start opens a socket with an echo behind it.
func start(t testing.TB, b backend, g *Group, heartbeat time.Duration) (*client, *echo) {
	t.Helper()
	theirs, ours := b.pipe(t)
	e := newEcho(g, heartbeat)
	e.socket.Start(e, ours, nil, nil, nothing)
	return newClient(t, theirs), e
}
