package test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"vera"
	"vera/client"
	"vera/test/lean"
)

// unharmed runs a table of attacks on a peer of its own, and then holds it to
// what must be true after every row: it lives, nothing of the attackers is
// left in it, nobody else noticed, nothing committed is lost.
func unharmed(t *testing.T, p *peer, attack func(t *testing.T)) {
	path := "/data/bystander"
	bystander := call(t, p, client.Options{Grace: client.NoGrace})
	item := bystander.push(path, number(1))
	w := call(t, p, client.Options{}).watch(path)
	calm := func() (float64, float64) { return admin(t, p, "go_goroutines"), admin(t, p, "vera_connections") }
	goroutines, connections := calm()
	memory := admin(t, p, "process_resident_memory_bytes")

	t.Run("attacks", attack)

	eventually(t, "the peer to be as it was", func() bool {
		g, c := calm()
		return g <= goroutines+2 && c == connections
	})
	if grown := admin(t, p, "process_resident_memory_bytes") - memory; grown > 128<<20 {
		t.Errorf("the peer grew by %.0f MiB", grown/(1<<20))
	}
	if l := bystander.get(path); len(l.Items) != 1 || l.Items[0].Version != item.Version {
		t.Errorf("a bystander's list became %s", text(l))
	}
	bystander.push(path, number(2))
	if n := w.next(); len(n.Added) != 1 || len(n.Removed) != 0 {
		t.Errorf("a bystander was told %s", text(n))
	}
}

// exchange sends bytes on a fresh TCP connection and returns the first answer.
func exchange(t *testing.T, p *peer, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", p.client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return response
}

// head is a request head to a peer, with a good Host unless lines name one.
func head(p *peer, line string, lines ...string) string {
	if !strings.Contains(strings.Join(lines, "\n"), "Host:") {
		lines = append(lines, "Host: "+p.client)
	}
	return line + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// upgrade is a good handshake, and more lines.
func upgrade(p *peer, lines ...string) string {
	return head(p, "GET /connect HTTP/1.1", append(lines, "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")...)
}

func TestHostileHandshakesAreRefused(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--allowed-origins", "https://good.example")
	rows := []struct {
		name, send string
		status     int
	}{
		{"foreign Origin", upgrade(p, "Origin: https://evil.example"), 403},
		{"Origin null", upgrade(p, "Origin: null"), 403},
		{"an Origin that begins alike", upgrade(p, "Origin: https://good.example.evil.com"), 403},
		{"an Origin that ends alike", upgrade(p, "Origin: https://evilgood.example"), 403},
		{"another port", upgrade(p, "Origin: https://good.example:444"), 403},
		{"two Origins", upgrade(p, "Origin: https://good.example", "Origin: https://good.example"), 400},
		{"a Host that is not ours", upgrade(p, "Host: rebound.example"), 421},
		{"two Hosts", head(p, "GET /data/a HTTP/1.1", "Host: "+p.client, "Host: "+p.client), 400},
		{"no Host", "GET /data/a HTTP/1.1\r\n\r\n", 400},
		{"two lengths", head(p, "GET /data/a HTTP/1.1", "Content-Length: 0", "Content-Length: 1"), 400},
		{"a folded header", head(p, "GET /data/a HTTP/1.1", "X-A: b\r\n c"), 400},
		{"POST", head(p, "POST /data/a HTTP/1.1", "Content-Length: 0"), 405},
		{"HTTP/1.0", strings.Replace(upgrade(p), "HTTP/1.1", "HTTP/1.0", 1), 505},
		{"version 8", strings.Replace(upgrade(p), "Version: 13", "Version: 8", 1), 426},
		{"a short key", strings.Replace(upgrade(p), "dGhlIHNhbXBsZSBub25jZQ==", "abc", 1), 400},
		{"an unknown subprotocol", upgrade(p, "Sec-WebSocket-Protocol: soap"), 400},
		{"a long head", head(p, "GET /data/a HTTP/1.1", "X-Long: "+strings.Repeat("x", 17<<10)), 431},
		{"a body", head(p, "GET /data/a HTTP/1.1", "Content-Length: 3") + "abc", 400},
		{"dots", head(p, "GET /data/../x HTTP/1.1"), 400},
		{"encoded dots", head(p, "GET /data/%2e%2e HTTP/1.1"), 400},
		{"empty segment", head(p, "GET /data//a HTTP/1.1"), 400},
		{"NUL", head(p, "GET /data/%00 HTTP/1.1"), 400},
		{"an encoded slash", head(p, "GET /data/a%2fb HTTP/1.1"), 400},
		{"no UTF-8", head(p, "GET /data/%ff HTTP/1.1"), 400},
		{"5,000 characters", head(p, "GET /data/"+strings.Repeat("a", 5000)+" HTTP/1.1"), 400},
		{"33 segments", head(p, "GET /data"+strings.Repeat("/a", 33)+" HTTP/1.1"), 400},
	}
	unharmed(t, p, func(t *testing.T) {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				response := exchange(t, p, row.send)
				if response.StatusCode != row.status || len(response.Header.Values("Set-Cookie")) != 0 {
					t.Errorf("answered %s with %v, want %d", response.Status, response.Header, row.status)
				}
			})
		}
	})
}

func TestCookiesThatWeNeverMadeAreNeverAdopted(t *testing.T) {
	t.Parallel()
	p := shared(t)
	made := call(t, p, client.Options{})
	name, value, _ := strings.Cut(made.Cookie(), "=")
	id := made.session().Session
	for what, cookie := range map[string]string{
		"made up":         name + "=0123456789abcdef0123456789abcdef",
		"one letter off":  name + "=" + value[:len(value)-1] + string(value[len(value)-1]^1),
		"first part only": name + "=" + value[:len(value)/2],
		"4,000 bytes":     name + "=" + strings.Repeat("a", 4000),
		"empty":           name + "=",
	} {
		c := call(t, p, client.Options{Cookie: cookie})
		if s := c.session(); c.Cookie() == cookie || s.Session == id || s.Resumed {
			t.Errorf("%s: adopted as %s", what, text(s))
		}
	}
}

// closing reads until the peer's Close frame and returns its code, then waits
// for the end of the TCP connection, which must come within two seconds.
func (s *speaker) closing() vera.CloseCode {
	s.t.Helper()
	for {
		first, payload, err := s.Frame()
		if err != nil {
			s.t.Errorf("ended without a whole Close frame: %v", err)
			return 0
		}
		if first&15 != 8 {
			continue
		}
		start := time.Now()
		_, err = io.Copy(io.Discard, s.R) // a reset is an end as well
		if late(start, time.Now(), 2*time.Second) {
			s.t.Errorf("TCP was open for %v after the Close frame: %v", time.Since(start), err)
		}
		if len(payload) < 2 {
			return vera.CloseEmpty
		}
		return vera.CloseCode(binary.BigEndian.Uint16(payload))
	}
}

func TestHostileFramesEndTheConnection(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	mask := []byte{0, 0, 0, 0}
	text := func(first byte, payload string) []byte {
		return append(append([]byte{first, 0x80 | byte(len(payload))}, mask...), payload...)
	}
	closing := func(code uint16) []byte {
		return text(0x88, string(binary.BigEndian.AppendUint16(nil, code)))
	}
	rows := []struct {
		name string
		send []byte
		code vera.CloseCode
	}{
		{"unmasked", []byte{0x81, 2, '{', '}'}, vera.CloseProtocol},
		{"reserved bits", text(0xc1, "{}"), vera.CloseProtocol},
		{"opcode 3", text(0x83, "{}"), vera.CloseProtocol},
		{"opcode 11", text(0x8b, ""), vera.CloseProtocol},
		{"fragmented ping", text(0x09, ""), vera.CloseProtocol},
		{"continuation of nothing", text(0x80, "{}"), vera.CloseProtocol},
		{"text inside a fragmented text", append(text(0x01, "{"), text(0x81, "{}")...), vera.CloseProtocol},
		{"a length that is not minimal", append([]byte{0x81, 0x80 | 126, 0, 2}, append(mask, '{', '}')...), vera.CloseProtocol},
		{"a length with the top bit", append([]byte{0x81, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 2}, mask...), vera.CloseProtocol},
		{"a close of one byte", text(0x88, "x"), vera.CloseProtocol},
		{"close code 999", closing(999), vera.CloseProtocol},
		{"close code 1005", closing(1005), vera.CloseProtocol},
		{"close code 5000", closing(5000), vera.CloseProtocol},
		{"no UTF-8", text(0x81, "\xff"), vera.CloseText},
		{"no UTF-8 across fragments", append(text(0x01, "\xe2\x82"), text(0x80, "x")...), vera.CloseText},
		{"no UTF-8 in a close reason", text(0x88, "\x03\xe8\xff"), vera.CloseText},
		{"binary", text(0x82, "{}"), vera.CloseData},
		{"2^62 bytes declared", append([]byte{0x81, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0}, mask...), vera.CloseTooLarge},
		{"one byte over the limit", append([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 4, 0, 1}, mask...), vera.CloseTooLarge},
		{"a flood of empty continuations", append(text(0x01, ""), bytes.Repeat(text(0x00, ""), 100_000)...), vera.ClosePolicy},
		{"a proper close", closing(1000), vera.CloseDone},
	}
	unharmed(t, p, func(t *testing.T) {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				s := speak(t, p, "")
				if _, err := s.Conn.Write(row.send); err != nil && row.code != vera.ClosePolicy { // which may come before all is sent
					t.Fatal(err)
				}
				if code := s.closing(); code != row.code {
					t.Errorf("closed with %d, want %d", code, row.code)
				}
			})
		}
	})
}

// drip writes text a byte at a time for as long as it is let to.
func drip(conn net.Conn, text string, pace time.Duration) {
	beat := time.NewTicker(pace)
	defer beat.Stop()
	buffer := make([]byte, 1)
	for n := range text {
		_, err := io.WriteString(conn, text[n:n+1])
		if err == nil {
			err = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		}
		if err == nil {
			if _, err = conn.Read(buffer); isTimeout(err) {
				err = nil
			}
		}
		if err != nil {
			return
		}
		<-beat.C
	}
}

func TestSlowHeadsAndHalfFramesAreCutOff(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	unharmed(t, p, func(t *testing.T) {
		t.Run("head", func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			conn, err := net.Dial("tcp", p.client)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			drip(conn, upgrade(p), 100*time.Millisecond)
			if lasted := time.Since(start); lasted < 5*time.Second || late(start, time.Now(), 5*time.Second) {
				t.Errorf("a dripped head lasted %v, the bound is 5 s", lasted)
			}
		})
		t.Run("frame", func(t *testing.T) {
			t.Parallel()
			s := speak(t, p, "?heartbeatMs=600000")
			start := time.Now()
			if _, err := s.Conn.Write([]byte{0x81, 0xfe, 1, 0}); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, s.R)                                                                      // until the end, however it comes
			if lasted := time.Since(start); lasted < 10*time.Second || late(start, time.Now(), 12*time.Second) { // two for the Close frame to be answered
				t.Errorf("half a frame lasted %v, the bound is 10 s", lasted)
			}
		})
		t.Run("TLS on the plain port", func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", p.client)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 512)))
			if err == nil {
				err = conn.SetReadDeadline(time.Now().Add(patience))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
				t.Error("a TLS hello was not cut off")
			}
		})
	})
}

func isTimeout(err error) bool {
	timeout, is := err.(net.Error)
	return is && timeout.Timeout()
}

func TestRequestsBehindTheHandshakeAreTaken(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	conn, err := net.Dial("tcp", p.client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	message := fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":{}}`, path)
	frame := append([]byte{0x81, 0x80 | byte(len(message)), 0, 0, 0, 0}, message...)
	if len(message) > 125 {
		t.Fatalf("the message has %d bytes: too long for a short frame", len(message))
	}
	if _, err := conn.Write(append([]byte(upgrade(p)), frame...)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", response, err)
	}
	s := &speaker{t, &lean.Client{Conn: conn, R: r}}
	if answer := s.hear(); answer.Code != vera.OK || len(answer.Items) != 1 {
		t.Errorf("answered %s", answer.raw)
	}
}
