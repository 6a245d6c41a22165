package frame

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"

	"vera"
)

const limit = 1000

// masked is a client's frame.
func masked(fin bool, op gobwas.OpCode, payload string) []byte {
	f := gobwas.NewFrame(op, fin, []byte(payload))
	return gobwas.MustCompileFrame(gobwas.MaskFrame(f))
}

// feed gives a new parser all bytes in portions of n and tells what it found.
// Like a reader of a socket it uses one buffer again and again.
func feed(stream []byte, n int) (found []string) {
	var p Parser
	buffer := make([]byte, n)
	for portion := range slices.Chunk(stream, n) {
		rest := buffer[:copy(buffer, portion)]
		for len(rest) > 0 {
			var e Event
			var err error
			rest, e, err = p.Next(rest, limit)
			if failed, ok := errors.AsType[*Error](err); ok {
				return append(found, fmt.Sprint("error ", failed.Code))
			}
			if e.Kind != None {
				found = append(found, fmt.Sprintf("%d %d %q", e.Kind, e.Code, e.Payload))
			}
		}
	}
	return append(found, fmt.Sprint("between ", p.Between()))
}

func TestParserFindsTheSameInAnyPortions(t *testing.T) {
	stream := slices.Concat(
		masked(true, gobwas.OpText, "first"),
		masked(false, gobwas.OpText, "frag\xc3"),
		masked(true, gobwas.OpPing, "are you there"),
		masked(false, gobwas.OpContinuation, ""),
		masked(true, gobwas.OpPong, ""),
		masked(true, gobwas.OpContinuation, "\xa4mented 😀"),
		masked(true, gobwas.OpText, ""),
		masked(true, gobwas.OpText, strings.Repeat("x", 200)),
		masked(true, gobwas.OpText, strings.Repeat("ü", limit/2)),
		masked(true, gobwas.OpClose, "\x03\xe8bye"),
	)
	want := []string{
		`1 0 "first"`, `2 0 "are you there"`, `3 0 ""`, `1 0 "fragämented 😀"`, `1 0 ""`,
		fmt.Sprintf("1 0 %q", strings.Repeat("x", 200)),
		fmt.Sprintf("1 0 %q", strings.Repeat("ü", limit/2)),
		`4 1000 "bye"`, "between true",
	}
	for n := 1; n <= len(stream); n++ {
		if found := feed(stream, n); !slices.Equal(found, want) {
			t.Fatalf("in portions of %d: %q, want %q", n, found, want)
		}
	}
}

func TestParserRefusesAsSoonAsTheHeaderIsKnown(t *testing.T) {
	for name, test := range map[string]struct {
		bytes string
		code  vera.CloseCode
	}{
		"2^62 bytes declared":         {"\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00", vera.CloseTooLarge},
		"one byte over the limit":     {"\x81\xfe\x03\xe9", vera.CloseTooLarge},
		"top bit of the length":       {"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x01", vera.CloseProtocol},
		"125 in two bytes":            {"\x81\xfe\x00\x7d", vera.CloseProtocol},
		"65535 in eight bytes":        {"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", vera.CloseProtocol},
		"not masked":                  {"\x81\x05", vera.CloseProtocol},
		"reserved bit":                {"\xc1\x85", vera.CloseProtocol},
		"reserved opcode":             {"\x83\x85", vera.CloseProtocol},
		"long ping":                   {"\x89\xfe\x00\x7e", vera.CloseProtocol},
		"fragmented ping":             {"\x09\x80", vera.CloseProtocol},
		"continuation of nothing":     {"\x80\x81", vera.CloseProtocol},
		"binary, though far too long": {"\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00", vera.CloseData},
	} {
		t.Run(name, func(t *testing.T) {
			var p Parser
			raw := []byte(test.bytes)
			for i := range raw {
				_, e, err := p.Next(raw[i:i+1], limit)
				failed, _ := errors.AsType[*Error](err)
				if i < len(raw)-1 {
					if err != nil || e.Kind != None {
						t.Fatalf("after %d bytes: %v %v", i+1, e, err)
					}
				} else if failed == nil || failed.Code != test.code {
					t.Fatalf("%v, want close code %d", err, test.code)
				}
			}
			if cap(p.message) != 0 {
				t.Errorf("%d bytes of buffer", cap(p.message))
			}
		})
	}
}

func TestParserSumsFragmentsUpToTheLimit(t *testing.T) {
	half := strings.Repeat("x", limit/2)
	fits := slices.Concat(masked(false, gobwas.OpText, half), masked(true, gobwas.OpContinuation, half))
	if found := feed(fits, 7); len(found) != 2 || found[1] != "between true" {
		t.Errorf("exactly the limit: %q", found)
	}
	over := slices.Concat(masked(false, gobwas.OpText, half), masked(false, gobwas.OpContinuation, half), masked(true, gobwas.OpContinuation, "y"))
	if found := feed(over, 7); !slices.Equal(found, []string{"error 1009"}) {
		t.Errorf("one byte over: %q", found)
	}
}

func TestParserBoundsEmptyFragments(t *testing.T) {
	stream := masked(false, gobwas.OpText, "")
	for range maxEmpty - 1 {
		stream = append(stream, masked(false, gobwas.OpContinuation, "")...)
	}
	if found := feed(append(bytes.Clone(stream), masked(true, gobwas.OpContinuation, "!")...), 64); !slices.Equal(found, []string{`1 0 "!"`, "between true"}) {
		t.Errorf("%d empty fragments: %q", maxEmpty, found)
	}
	if found := feed(append(stream, masked(false, gobwas.OpContinuation, "")...), 64); !slices.Equal(found, []string{"error 1008"}) {
		t.Errorf("one more: %q", found)
	}
}

func TestParserFailsAtTheFirstByteThatCannotBeUTF8(t *testing.T) {
	for _, text := range []string{"a\xff", "\xc0", "\xe0\x80", "\xed\xa0", "\xf4\x90", "\xf8", "\xc3a", "\xe2\x82a", "\x80"} {
		stream := masked(false, gobwas.OpText, text+"more that never comes")
		stream = stream[:len(stream)-len("more that never comes")]
		if found := feed(stream, 1); !slices.Equal(found, []string{"error 1007"}) {
			t.Errorf("%q: %q", text, found)
		}
	}
	for _, text := range []string{"\xc3", "\xe2\x82", "\xf0\x9f\x98"} {
		if found := feed(masked(false, gobwas.OpText, text), 1); !slices.Equal(found, []string{"between false"}) {
			t.Errorf("%q is still open: %q", text, found)
		}
		if found := feed(masked(true, gobwas.OpText, text), 1); !slices.Equal(found, []string{"error 1007"}) {
			t.Errorf("%q at the end: %q", text, found)
		}
	}
}

func TestParserAllocatesOnceForASmallMessage(t *testing.T) {
	stream, buffer := masked(true, gobwas.OpText, `{"action":"ping"}`), make([]byte, 64)
	var p Parser
	allocations := testing.AllocsPerRun(1000, func() {
		if _, e, err := p.Next(buffer[:copy(buffer, stream)], limit); err != nil || e.Kind != Text {
			t.Fatal(e, err)
		}
	})
	if allocations > 1 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestAppendWritesWhatGobwasReads(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		payload := bytes.Repeat([]byte("v"), n)
		read, err := gobwas.ReadHeader(bytes.NewReader(Append(nil, OpText, payload)))
		want := gobwas.Header{Fin: true, OpCode: gobwas.OpText, Length: int64(n)}
		if err != nil || read != want {
			t.Errorf("%d bytes: %+v, %v", n, read, err)
		}
	}
	long := strings.Repeat("ä", 100)
	body := AppendClose(nil, vera.CloseGoingAway, long)[2:]
	code, reason := gobwas.ParseCloseFrameData(body)
	if len(body) > 125 || code != 1001 || !strings.HasPrefix(long, reason) || len(reason) != 122 {
		t.Errorf("%d bytes, %d %q", len(body), code, reason)
	}
	if none := AppendClose(nil, vera.CloseNone, "ignored"); !bytes.Equal(none, []byte{0x88, 0}) {
		t.Errorf("% x", none)
	}
}
