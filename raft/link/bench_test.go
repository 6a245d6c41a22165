package link

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// quietly starts two peers that log nothing.
func quietly(b *testing.B) (from, to *peer) {
	silent := func(o *Options, _ *limits) { o.Logger = zerolog.Nop() }
	from, to = newPeer(b, silent), newPeer(b, silent)
	from.trust(to)
	to.trust(from)
	return from, to
}

// BenchmarkCall is the round trip of a signed call with 100 bytes, both peers in
// one process.
func BenchmarkCall(b *testing.B) {
	from, to := quietly(b)
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Call(b.Context(), to.host, to.KeyID(), "greet", body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDial opens and closes a stream.
func BenchmarkDial(b *testing.B) {
	from, to := quietly(b)
	go func() {
		for c := range to.streams {
			c.Close()
		}
	}()
	defer close(to.streams)
	b.ReportAllocs()
	for b.Loop() {
		c, err := from.Dial(b.Context(), to.host, to.KeyID(), "raft")
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkStream is the round trip of 100 bytes on an open stream.
func BenchmarkStream(b *testing.B) {
	from, to := quietly(b)
	out, err := from.Dial(b.Context(), to.host, to.KeyID(), "raft")
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	in := <-to.streams
	go func() {
		_, _ = io.Copy(in, in)
		in.Close()
	}()
	_ = out.SetDeadline(time.Now().Add(time.Minute))
	message := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		roundTrip(b, out, message)
	}
}

func roundTrip(b *testing.B, c net.Conn, message []byte) {
	if _, err := c.Write(message); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, message); err != nil {
		b.Fatal(err)
	}
}
