package socket

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// script is one conformance case: what a client sends and what must come of it.
type script struct {
	name  string
	send  []byte
	texts []string       // come back
	pong  *string        // the last pong
	code  vera.CloseCode // of the server's Close frame
	how   vera.Ending
	goes  bool // on: the client closes afterwards
}

// good scripts go on: the client closes afterwards.
func good(name string, texts []string, frames ...[]byte) script {
	return script{name: name, send: slices.Concat(frames...), texts: texts, code: vera.CloseDone, how: vera.EndedClean, goes: true}
}

// bad scripts end with a close code of the server.
func bad(name string, code vera.CloseCode, frames ...[]byte) script {
	return script{name: name, send: slices.Concat(frames...), code: code, how: vera.EndedLost}
}

func (s script) withPong(payload string) script {
	s.pong = &payload
	return s
}

func TestConformance(t *testing.T) {
	all := slices.Concat(lengths(), masks(), broken(), control(), fragments(), sequences(), validText(), invalidText(), closings(), limits())
	names := map[string]bool{}
	for _, s := range all {
		if names[s.name] {
			t.Errorf("%s: twice", s.name)
		}
		names[s.name] = true
	}
	if len(all) < 250 {
		t.Fatalf("only %d cases", len(all))
	}
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			conform(t, b, all)
		})
	}
}

// conform runs all scripts on a back end: as one write and byte by byte.
func conform(t *testing.T, b backend, all []script) {
	g := newGroup(t, b.kind, limitsFor())
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			portions := []int{len(s.send), 1}
			if len(s.send) > 1000 {
				portions[1] = 997
			}
			for _, n := range portions {
				s.run(t, b, g, n)
			}
		})
	}
	gone(t, g)
}

func (s script) run(t *testing.T, b backend, g *Group, portion int) {
	t.Helper()
	c, e := start(t, b, g, vera.DefaultLimits(1).Heartbeat)
	defer func() { _ = c.conn.Close() }()
	c.send(max(1, portion), s.send)
	if s.goes {
		s.await(t, c)
		c.send(1000, closeFrame(1000, ""))
	}
	if code := c.closing(t); code != s.code {
		t.Errorf("closed with %d, want %d", code, s.code)
	}
	if how := e.how(t); how != s.how {
		t.Errorf("ended %d, want %d", how, s.how)
	}
	if heard := e.heard(); s.goes && !slices.Equal(heard, s.texts) {
		t.Errorf("received %.200q, want %.200q", heard, s.texts)
	}
}

// await waits for the echoes and the last pong.
func (s script) await(t *testing.T, c *client) {
	t.Helper()
	ponged := s.pong == nil
	for texts := s.texts; len(texts) > 0 || !ponged; {
		f := c.next(t)
		switch {
		case f.end || f.op == gobwas.OpClose:
			t.Fatalf("%v, want %.100q", f, texts)
		case f.op == gobwas.OpPong:
			ponged = ponged || f.payload == *s.pong
		case len(texts) == 0 || f.payload != texts[0]:
			t.Fatalf("%v, want %.100q", f, texts)
		default:
			texts = texts[1:]
		}
	}
}

func lengths() (all []script) {
	for _, n := range []int{0, 1, 2, 7, 124, 125, 126, 127, 128, 255, 256, 1000, 16383, 16384, 16385, 65534, 65535, 65536, 65537, 100_000} {
		payload := strings.Repeat("v", n)
		all = append(all, good(fmt.Sprintf("text of %d bytes", n), []string{payload}, text(payload)))
	}
	many := [][]byte{}
	want := []string{}
	for i := range 200 {
		want = append(want, fmt.Sprint("message ", i))
		many = append(many, text(want[i]))
	}
	return append(all, good("200 messages in a row", want, many...))
}

func masks() (all []script) {
	for _, mask := range [][4]byte{{}, {1, 2, 3, 4}, {255, 255, 255, 255}, {0, 1, 0, 0}, {0x80, 0, 0, 0x7f}} {
		for _, n := range []int{0, 1, 3, 4, 5, 15, 16, 17, 31, 33, 300} {
			payload := strings.Repeat("0123456789", 30)[:n]
			f := gobwas.MaskFrameWith(gobwas.NewTextFrame([]byte(payload)), mask)
			all = append(all, good(fmt.Sprintf("mask %x over %d bytes", mask, n), []string{payload}, gobwas.MustCompileFrame(f)))
		}
	}
	return all
}

// broken are frames whose header is wrong whatever came before.
func broken() (all []script) {
	mask := []byte{1, 2, 3, 4}
	for _, length := range []string{"\xfe\x00\x00", "\xfe\x00\x01", "\xfe\x00\x7d", "\xff\x00\x00\x00\x00\x00\x00\x00\x00",
		"\xff\x00\x00\x00\x00\x00\x00\x00\x01", "\xff\x00\x00\x00\x00\x00\x00\x00\x7e", "\xff\x00\x00\x00\x00\x00\x00\xff\xff",
		"\xff\x80\x00\x00\x00\x00\x00\x00\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		all = append(all, bad(fmt.Sprintf("length %x", length), vera.CloseProtocol, []byte("\x81"+length), mask))
	}
	for _, op := range []gobwas.OpCode{gobwas.OpText, gobwas.OpContinuation, gobwas.OpPing, gobwas.OpPong, gobwas.OpClose} {
		all = append(all, bad(fmt.Sprintf("opcode %x not masked", op), vera.CloseProtocol, []byte{0x80 | byte(op), 2, 3, 0xe8}))
	}
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []gobwas.OpCode{gobwas.OpText, gobwas.OpPing, gobwas.OpPong, gobwas.OpClose} {
			frame := masked(true, op, "")
			frame[0] |= rsv << 4
			all = append(all, bad(fmt.Sprintf("reserved bits %03b in opcode %x", rsv, op), vera.CloseProtocol, frame))
		}
	}
	for _, op := range []gobwas.OpCode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, fin := range []bool{true, false} {
			for _, payload := range []string{"", "x"} {
				name := fmt.Sprintf("opcode %x, fin %v, payload %q", op, fin, payload)
				all = append(all, bad(name, vera.CloseProtocol, text("before"), masked(fin, op, payload)))
			}
		}
	}
	for _, payload := range []string{"", "x", strings.Repeat("x", 70_000)} {
		for _, fin := range []bool{true, false} {
			all = append(all, bad(fmt.Sprintf("binary of %d bytes, fin %v", len(payload), fin), vera.CloseData, masked(fin, gobwas.OpBinary, payload)))
		}
	}
	return all
}

func control() (all []script) {
	for _, n := range []int{0, 1, 8, 124, 125} {
		payload := strings.Repeat("p", n)
		all = append(all,
			good(fmt.Sprintf("ping of %d bytes", n), nil, ping(payload)).withPong(payload),
			good(fmt.Sprintf("ping of %d bytes that are no text", n), nil, ping(strings.Repeat("\xff", n))).withPong(strings.Repeat("\xff", n)),
			good(fmt.Sprintf("pong of %d bytes", n), []string{"after"}, masked(true, gobwas.OpPong, payload), text("after")))
	}
	for _, op := range []gobwas.OpCode{gobwas.OpPing, gobwas.OpPong, gobwas.OpClose} {
		for _, n := range []int{126, 127, 65536} {
			all = append(all, bad(fmt.Sprintf("control opcode %x of %d bytes", op, n), vera.CloseProtocol, masked(true, op, strings.Repeat("x", n))))
		}
		all = append(all, bad(fmt.Sprintf("control opcode %x in fragments", op), vera.CloseProtocol, masked(false, op, "x"), masked(true, gobwas.OpContinuation, "y")))
	}
	pings := [][]byte{}
	for i := range 100 {
		pings = append(pings, ping(fmt.Sprint(i)))
	}
	return append(all, good("100 pings", nil, pings...).withPong("99"),
		good("pings between messages", []string{"a", "b"}, ping("1"), text("a"), ping("2"), text("b"), ping("3")).withPong("3"),
		bad("1001 pings at once", vera.ClosePolicy, bytes.Repeat(ping("flood"), maxControls+1)),
		bad("1001 pongs at once", vera.ClosePolicy, bytes.Repeat(masked(true, gobwas.OpPong, ""), maxControls+1)))
}
