package link

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// bytesOf is a signed request as it goes over a line, and the line.
func bytesOf(t *testing.T, from, to *peer, body string) (*line, []byte) {
	t.Helper()
	ln, r := raw(t, from, to, body)
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return ln, b.Bytes()
}

// answerTo sends bytes, says that no more follow, and returns the status of the
// answer; 0 when there was none.
func answerTo(t *testing.T, ln *line, sent []byte) int {
	t.Helper()
	_ = ln.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := ln.conn.Write(sent); err != nil {
		return 0
	}
	_ = ln.conn.CloseWrite()
	answer, err := http.ReadResponse(bufio.NewReader(ln.conn), nil)
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Errorf("no answer, and no end: %q", sent)
		}
		return 0
	}
	return answer.StatusCode
}

// Every byte of a member's signed request is flipped in turn, on a TLS
// connection of its own for each: none is handled, each is refused with 401, or as
// no HTTP.
func TestAttackEveryByteFlipped(t *testing.T) {
	a, b := two(t)
	_, sample := bytesOf(t, a, b, "hello")
	statuses := map[int]int{}
	for i := range sample {
		ln, sent := bytesOf(t, a, b, "hello")
		sent[i] ^= 1
		status := answerTo(t, ln, sent)
		statuses[status]++
		if status != 401 && status != 400 && status != 505 {
			t.Errorf("byte %d flipped: answered %d:\n%s", i, status, sent)
		}
		ln.close()
	}
	t.Logf("answers: %v", statuses)
	if len(b.asked()) != 0 || statuses[401] < len(sample)/2 {
		t.Errorf("%d calls were handled; answers: %v", len(b.asked()), statuses)
	}
	if ln, sent := bytesOf(t, a, b, "hello"); answerTo(t, ln, sent) != 200 {
		t.Error("the request as it was is not answered")
	}
}

// Requests that two parsers may read in two ways, by a member, who can sign what
// it likes.
func TestAttackAmbiguousRequests(t *testing.T) {
	a, b := two(t)
	for _, row := range []struct{ from, to string }{
		{"Content-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n"},
		{"Content-Length: 5\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"},
		{"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"},
		{"Content-Length: 5\r\n", "Transfer-Encoding: identity\r\n"},
		{"Content-Length: 5\r\n", "Content-Length: +5\r\n"},
		{"Content-Length: 5\r\n", "Content-Length: 5, 5\r\n"},
		{"Content-Length: 5\r\n", "Content-Length: 4\r\n"},
		{"Content-Length: 5\r\n", "Content-Length: -1\r\n"},
		{"Content-Length: 5\r\n", "Content-Length: 18446744073709551621\r\n"},
		{"Content-Length: 5\r\n", ""},
		{"Host: ", "Host: evil\r\nHost: "},
		{"Host: ", "X-Host: "},
		{"Signature: ", "Signature : "},
		{"Signature: ", " Signature: "},
		{"Vera-Connection: ", "Vera-Connection: x\r\nVera-Connection: "},
		{"Vera-Connection: ", "vera-connection: x\r\nVera-Connection: "},
		{"Vera-Proof: ", "Vera_Proof: x\r\nVera-Proof: "},
		{"Vera-Cluster: a", "Vera-Cluster: a\r\n b"},
		{"Vera-Cluster: a", "Vera-Cluster: a\x00"},
		{"Vera-Cluster: a", "Vera-Cluster: a,"},
		{"POST /", "POST http://x/"},
		{"POST /", "POST //"},
		{"POST /", "POST /./"},
		{"POST /", "post /"},
		{"POST /vera/call/greet", "POST /vera/call/gree%74"},
		{"POST /vera/call/greet", "POST /vera/call/greet?"},
		{"POST /vera/call/greet", "POST /vera/call/greet#x"},
		{"POST /vera/call/greet", "CONNECT x:443"},
		{"POST /vera/call/greet", "PRI *"},
		{" HTTP/1.1", " HTTP/1.0"},
		{" HTTP/1.1", " HTTP/2.0"},
		{" HTTP/1.1", ""},
		{"\r\n\r\nhello", "\r\nTrailer: X\r\n\r\nhello"},
		{"\r\n\r\nhello", "\r\nExpect: 100-continue\r\n\r\nhello"},
		{"\r\n\r\nhello", "\r\nConnection: close\r\n\r\nhello"},
		{"\r\n\r\nhello", "\r\nConnection: Signature, Vera-Proof\r\n\r\nhello"},
		{"\r\n\r\nhello", "\r\nUpgrade: vera-stream\r\n\r\nhello"},
	} {
		ln, sent := bytesOf(t, a, b, "hello")
		changed := bytes.Replace(sent, []byte(row.from), []byte(row.to), 1)
		if bytes.Equal(changed, sent) {
			t.Fatalf("%q is not in the request:\n%s", row.from, sent)
		}
		if status := answerTo(t, ln, changed); status < 400 && status != 0 {
			t.Errorf("%q for %q: answered %d", row.to, row.from, status)
		}
		ln.close()
	}
	if n := len(b.asked()); n != 0 {
		t.Errorf("%d calls were handled", n)
	}
}

// What follows a signed request on its connection has to be signed as well, also
// when it came together with it.
func TestAttackRidingOnASignedRequest(t *testing.T) {
	a, b := two(t)
	for _, rider := range []string{
		"POST /vera/call/greet HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"GET /vera/stream/raft HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: vera-stream\r\n\r\n",
	} {
		ln, sent := bytesOf(t, a, b, "hello")
		_ = ln.conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := ln.conn.Write(append(sent, rider...)); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(ln.conn)
		for n, want := range []int{200, 401} {
			answer, err := http.ReadResponse(in, nil)
			if err != nil || answer.StatusCode != want {
				t.Fatalf("answer %d: %+v, %v; want %d", n, answer, err, want)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Fatal(err)
			}
		}
		// The same request once more, on the connection that it was signed for.
		ln, sent = bytesOf(t, a, b, "hello")
		if status := answerTo(t, ln, append(bytes.Clone(sent), sent...)); status != 200 {
			t.Errorf("the first of two that are the same: %d", status)
		}
	}
	if n, streams := len(b.asked()), len(b.streams); n != 4 || streams != 0 {
		t.Errorf("%d calls were handled, want 4; %d streams", n, streams)
	}
}

// Certificates that say more, or less, than a key.
func TestAttackByCertificate(t *testing.T) {
	a, b := two(t)
	o := a.o
	o.Key, o.Secret, o.Metrics = newKey(t), nil, nil
	thief, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	stolen := thief.own
	stolen.Certificate = a.own.Certificate // a member's certificate, not its key
	if conn, err := tls.Dial("tcp", b.host, clientTLS(stolen, b.KeyID())); err == nil {
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = fmt.Fprint(conn, "POST /vera/call/greet HTTP/1.1\r\nHost: x\r\n\r\n")
		if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			t.Errorf("answered %d to who has not the key of its certificate", answer.StatusCode)
		}
		conn.Close()
	}
	thief.own.Certificate = append(thief.own.Certificate, a.own.Certificate...) // its own, and a member's behind
	if _, err := thief.Call(within(t), b.host, b.KeyID(), "greet", nil); !isStatus(err, http.StatusUnauthorized) || !strings.Contains(err.Error(), "your key") {
		t.Errorf("a member's certificate in the chain: %v", err)
	}
	if n := len(b.asked()); n != 0 {
		t.Errorf("%d calls were handled", n)
	}
}
