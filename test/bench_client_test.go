package test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// lean is a WebSocket client that costs a load test next to nothing: it masks
// with zeros, which RFC 6455 allows, and hands out what it reads without a copy.
type lean struct {
	conn   net.Conn
	r      *bufio.Reader
	out    []byte
	in     []byte
	cookie string
}

// dialLean opens a connection; query is what stands behind /connect.
func dialLean(addr, query string, buffer int) (*lean, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &lean{conn: conn, r: bufio.NewReaderSize(conn, buffer)}
	head := "GET /connect" + query + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := conn.Write([]byte(head)); err != nil {
		return nil, err
	}
	status, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if !strings.Contains(status, " 101 ") {
		return nil, fmt.Errorf("upgrade refused: %s", status)
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(line, "Set-Cookie: "); ok {
			c.cookie, _, _ = strings.Cut(rest, ";")
		}
		if line == "\r\n" {
			return c, nil
		}
	}
}

// send writes one text message.
func (c *lean) send(message []byte) error {
	c.out = append(c.out[:0], 0x81)
	switch n := len(message); {
	case n < 126:
		c.out = append(c.out, 0x80|byte(n))
	case n < 1<<16:
		c.out = binary.BigEndian.AppendUint16(append(c.out, 0x80|126), uint16(n))
	default:
		c.out = binary.BigEndian.AppendUint64(append(c.out, 0x80|127), uint64(n))
	}
	c.out = append(append(c.out, 0, 0, 0, 0), message...)
	_, err := c.conn.Write(c.out)
	return err
}

// receive returns the next text message, valid until the next call. Pings are
// answered on the way.
func (c *lean) receive() ([]byte, error) {
	for {
		first, err := c.r.ReadByte()
		if err != nil {
			return nil, err
		}
		size, err := c.size()
		if err != nil {
			return nil, err
		}
		if cap(c.in) < size {
			c.in = make([]byte, size)
		}
		c.in = c.in[:size]
		if _, err := io.ReadFull(c.r, c.in); err != nil {
			return nil, err
		}
		switch first & 0x0f {
		case 1:
			return c.in, nil
		case 8:
			return nil, fmt.Errorf("closed by the server: % x %s", c.in[:min(2, size)], c.in[min(2, size):])
		case 9:
			pong := append([]byte{0x8a, 0x80 | byte(size), 0, 0, 0, 0}, c.in...)
			if _, err := c.conn.Write(pong); err != nil {
				return nil, err
			}
		}
	}
}

func (c *lean) size() (int, error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	switch b & 0x7f {
	case 126:
		_, err = io.ReadFull(c.r, wide[6:])
	case 127:
		_, err = io.ReadFull(c.r, wide[:])
	default:
		return int(b & 0x7f), nil
	}
	return int(binary.BigEndian.Uint64(wide[:])), err
}

// ask sends a message and returns the next one that comes, which must be OK.
func (c *lean) ask(message []byte) ([]byte, error) {
	if err := c.send(message); err != nil {
		return nil, err
	}
	answer, err := c.receive()
	if err == nil && !bytes.Contains(answer, []byte(`"code":"OK"`)) {
		err = fmt.Errorf("asked %s, answered %s", message, answer)
	}
	return answer, err
}
