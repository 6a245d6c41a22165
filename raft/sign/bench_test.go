package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
)

func BenchmarkSign(b *testing.B) {
	w := newWorld(b)
	w.sender.Rand = rand.Reader
	body := strings.Repeat("x", 4096)
	r := request(b, "POST", "/vera/call/hand-over", body)
	raw := []byte(body)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.sender.Sign(r, raw, w.receiver.Name(), ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	r := request(b, "POST", "/vera/call/hand-over", strings.Repeat("x", 4096))
	w.sign(r, strings.Repeat("x", 4096))
	got, body, err := parse(wire(b, r))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w.receiver.requests = nonces{} // so that the nonce is new
		if _, err := w.receiver.Verify(got, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSpend(b *testing.B) {
	var s nonces
	var n uint64
	b.ReportAllocs()
	for b.Loop() {
		n++
		s.spend("peer", number(n), 90+int64(n/400), int64(n/400))
	}
}

// What ed25519 alone takes of BenchmarkVerify.
func BenchmarkEd25519(b *testing.B) {
	key := newWorld(b).key
	public := key.Public().(ed25519.PublicKey)
	text := make([]byte, 600)
	signature := ed25519.Sign(key, text)
	for b.Loop() {
		if !ed25519.Verify(public, text, signature) {
			b.Fatal("does not verify")
		}
	}
}
