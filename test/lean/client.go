package lean

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

// Client is one connection to a peer.
type Client struct {
	Conn   net.Conn
	Cookie string        // the session's, "name=value", if the server set one
	R      *bufio.Reader // reads from Conn
	out    []byte
	in     []byte
}

// Dial opens a connection to host:port. The query is what stands behind
// /connect; buffer is how many bytes are read at once. header lines, each ended
// by CR LF, are sent with the handshake.
func Dial(addr, query string, buffer int, header ...string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &Client{Conn: conn, R: bufio.NewReaderSize(conn, buffer)}
	head := "GET /connect" + query + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(header, "") + "\r\n"
	if _, err := conn.Write([]byte(head)); err != nil {
		return nil, err
	}
	status, err := c.R.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if !strings.Contains(status, " 101 ") {
		return nil, fmt.Errorf("upgrade refused: %s", status)
	}
	for {
		line, err := c.R.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(line, "Set-Cookie: "); ok {
			c.Cookie, _, _ = strings.Cut(rest, ";")
		}
		if line == "\r\n" {
			return c, nil
		}
	}
}

// Send writes one text message.
func (c *Client) Send(message []byte) error {
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
	_, err := c.Conn.Write(c.out)
	return err
}

// Receive returns the next text message, valid until the next call. Pings are
// answered on the way.
func (c *Client) Receive() ([]byte, error) {
	for {
		first, payload, err := c.Frame()
		if err != nil {
			return nil, err
		}
		switch first & 0x0f {
		case 1:
			return payload, nil
		case 8:
			return nil, fmt.Errorf("closed by the server: % x %s", payload[:min(2, len(payload))], payload[min(2, len(payload)):])
		case 9:
			pong := append([]byte{0x8a, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
			if _, err := c.Conn.Write(pong); err != nil {
				return nil, err
			}
		}
	}
}

// Frame returns the first byte of the next frame and its payload, valid until
// the next call.
func (c *Client) Frame() (first byte, payload []byte, err error) {
	if first, err = c.R.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := c.size()
	if err != nil {
		return 0, nil, err
	}
	if cap(c.in) < size {
		c.in = make([]byte, size)
	}
	c.in = c.in[:size]
	_, err = io.ReadFull(c.R, c.in)
	return first, c.in, err
}

func (c *Client) size() (int, error) {
	b, err := c.R.ReadByte()
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	switch b & 0x7f {
	case 126:
		_, err = io.ReadFull(c.R, wide[6:])
	case 127:
		_, err = io.ReadFull(c.R, wide[:])
	default:
		return int(b & 0x7f), nil
	}
	return int(binary.BigEndian.Uint64(wide[:])), err
}

// Ask sends a message and returns the next one that comes, which must be OK.
func (c *Client) Ask(message []byte) ([]byte, error) {
	if err := c.Send(message); err != nil {
		return nil, err
	}
	answer, err := c.Receive()
	if err == nil && !bytes.Contains(answer, []byte(`"code":"OK"`)) {
		err = fmt.Errorf("asked %s, answered %s", message, answer)
	}
	return answer, err
}
