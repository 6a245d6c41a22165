package frame

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

// FuzzFrames feeds whatever comes, whole and in portions: both must find the
// same, what is found must keep its promises, memory must stay bounded.
func FuzzFrames(f *testing.F) {
	for _, seed := range [][]byte{
		masked(true, gobwas.OpText, "hello"),
		slices.Concat(masked(false, gobwas.OpText, "\xc3"), masked(true, gobwas.OpPing, "x"), masked(true, gobwas.OpContinuation, "\xa4")),
		masked(true, gobwas.OpClose, "\x03\xe9going"),
		masked(true, gobwas.OpText, strings.Repeat("x", 126)),
		[]byte("\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00"),
		[]byte("\x81\xfe\x00\x7d"),
		masked(true, gobwas.OpBinary, "b"),
	} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, portion uint8) {
		whole := feed(slices.Clone(stream), max(1, len(stream)))
		parts := feed(slices.Clone(stream), int(portion)+1)
		if !slices.Equal(whole, parts) {
			t.Fatalf("whole %q, in portions of %d %q", whole, int(portion)+1, parts)
		}
		var p Parser
		for rest := slices.Clone(stream); len(rest) > 0; {
			var e Event
			var err error
			if rest, e, err = p.Next(rest, limit); err != nil {
				if failed, ok := errors.AsType[*Error](err); !ok || len(failed.Reason) > maxReason {
					t.Fatal(err)
				}
				break
			}
			if e.Kind == Text && (len(e.Payload) > limit || !utf8.Valid(e.Payload)) {
				t.Fatalf("a message of %d bytes: %q", len(e.Payload), e.Payload)
			}
			if cap(p.message) > 2*limit {
				t.Fatalf("holds %d bytes", cap(p.message))
			}
		}
	})
}
