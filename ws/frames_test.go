package ws

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// closeOf is a client's Close frame.
func closeOf(code int, reason string) []byte {
	return frameOf(gobwas.OpClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// part is a client's frame that is not the last of its message.
func part(op gobwas.OpCode, payload string) []byte {
	return gobwas.MustCompileFrame(gobwas.MaskFrame(gobwas.NewFrame(op, false, []byte(payload))))
}

// hostileFrame is what a client sends, and the close code that it must get.
type hostileFrame struct {
	send []byte
	code gobwas.StatusCode
}

func hostileFrames() map[string]hostileFrame {
	text, more := gobwas.OpText, gobwas.OpContinuation
	reserved := frameOf(text, "x")
	reserved[0] |= 0x40
	return map[string]hostileFrame{
		"unmasked":                         {[]byte("\x81\x01x"), 1002},
		"reserved bit":                     {reserved, 1002},
		"opcode 3":                         {frameOf(3, ""), 1002},
		"opcode 11":                        {frameOf(11, ""), 1002},
		"fragmented ping":                  {part(gobwas.OpPing, ""), 1002},
		"long ping":                        {frameOf(gobwas.OpPing, strings.Repeat("x", 126)), 1002},
		"continuation of nothing":          {frameOf(more, "x"), 1002},
		"text inside a fragmented text":    {slices.Concat(part(text, "a"), frameOf(text, "b")), 1002},
		"length that is not minimal":       {[]byte("\x81\xfe\x00\x01aaaax"), 1002},
		"length with the top bit":          {[]byte("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00"), 1002},
		"text that is not UTF-8":           {frameOf(text, "\xff"), 1007},
		"not UTF-8 over fragments":         {slices.Concat(part(text, "\xe2\x82"), frameOf(more, "\x20")), 1007},
		"reason that is not UTF-8":         {closeOf(1000, "\xff"), 1007},
		"binary":                           {frameOf(gobwas.OpBinary, "x"), 1003},
		"2^62 bytes declared":              {[]byte("\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00"), 1009},
		"a byte over the limit":            {frameOf(text, strings.Repeat("x", 1001)), 1009},
		"a byte over the limit, in two":    {slices.Concat(part(text, strings.Repeat("x", 1000)), frameOf(more, "x")), 1009},
		"a million empty continuations":    {append(part(text, ""), bytes.Repeat(part(more, ""), 1_000_000)...), 1008},
		"10,000 pings":                     {bytes.Repeat(frameOf(gobwas.OpPing, "x"), 10_000), 1008},
		"close code 0":                     {closeOf(0, ""), 1002},
		"close code 999":                   {closeOf(999, ""), 1002},
		"close code 1004":                  {closeOf(1004, ""), 1002},
		"close code 1005":                  {closeOf(1005, ""), 1002},
		"close code 1006":                  {closeOf(1006, ""), 1002},
		"close code 1015":                  {closeOf(1015, ""), 1002},
		"close code 5000":                  {closeOf(5000, ""), 1002},
		"half a close code":                {frameOf(gobwas.OpClose, "\x03"), 1002},
		"half a frame, then silence":       {frameOf(text, "x")[:4], 1008},
		"half a message, then silence":     {part(text, "x"), 1008},
		"close 1000":                       {closeOf(1000, "bye"), 1000},
		"close 1001":                       {closeOf(1001, ""), 1001},
		"close, then more data":            {slices.Concat(closeOf(1000, ""), frameOf(text, "x"), frameOf(gobwas.OpBinary, "y")), 1000},
		"what is no frame after an answer": {append(frameOf(text, `{"rid":1,"action":"ping"}`), 0x8f, 0x80), 1002},
	}
}

// TestHostileFrames sends what no client should, through the whole server. What
// exactly a frame may be is tested in ws/socket.
func TestHostileFrames(t *testing.T) {
	p := newPeer(t, func(o *Options) {
		o.Limits.Message = 1000
		o.Limits.RestFor = 300 * time.Millisecond
	})
	for name, test := range hostileFrames() {
		t.Run(name, func(t *testing.T) {
			p.unharmed(t)
			before := len(p.ended())
			c := p.connect(t, "?graceMs=0")
			began := time.Now()
			go func() { _, _ = c.Write(test.send) }()
			if code := c.closing(); code != test.code {
				t.Errorf("closed with %d, want %d", code, test.code)
			}
			if took := time.Since(began); took > waitFor/2 {
				t.Errorf("TCP stayed for %v", took)
			}
			want := vera.EndedLost
			if test.code == 1000 {
				want = vera.EndedClean
			}
			until(t, "the connection is told", func() bool { return len(p.ended()) == before+1 })
			if how := p.ended()[before]; how != want {
				t.Errorf("ended %d, want %d", how, want)
			}
		})
	}
}

func TestACloseWithoutACodeIsAnsweredAlike(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	c := p.connect(t, "?graceMs=0")
	_, _ = c.Write(frameOf(gobwas.OpClose, ""))
	if h, payload := c.frame(); h.OpCode != gobwas.OpClose || payload != "" {
		t.Errorf("%v %q", h, payload)
	}
	until(t, "it ended clean", func() bool { e := p.ended(); return len(e) == 1 && e[0] == vera.EndedClean })
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
}

func TestPingsAreAnsweredBetweenMessages(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	c := p.connect(t, "?graceMs=0")
	_, _ = c.Write(slices.Concat(part(gobwas.OpText, `{"rid":1,`), frameOf(gobwas.OpPing, "are you there"), frameOf(gobwas.OpContinuation, `"action":"ping"}`)))
	for range 2 {
		switch h, payload := c.frame(); {
		case h.OpCode == gobwas.OpPong && payload == "are you there":
		case h.OpCode == gobwas.OpText && strings.HasPrefix(payload, `{"rid":1,"code":"OK"`):
		default:
			t.Errorf("%v %q", h, payload)
		}
	}
	_ = c.Close()
}

func TestWatchersAreTold(t *testing.T) {
	p := newPeer(t, nil)
	watcher, pusher := p.connect(t, ""), p.connect(t, "?graceMs=0")
	watcher.say(`{"rid":1,"action":"watch","path":"/data/room"}`)
	watcher.hear()
	pusher.say(`{"rid":2,"action":"push","path":"/data/room","data":{"name":"me"}}`)
	if n := watcher.hear(); !strings.Contains(n, `"action":"notify"`) || !strings.Contains(n, `"added":[{"version":`) {
		t.Error(n)
	}
	pusher.hear()
	_ = pusher.Close()
	if n := watcher.hear(); !strings.Contains(n, `"removed":[{"version":`) {
		t.Error(n)
	}
	watcher.say(`{"rid":3,"action":"close"}`)
	if answer := watcher.hear(); answer != `{"rid":3,"code":"OK"}` {
		t.Error(answer)
	}
	if code := watcher.closing(); code != 1000 {
		t.Errorf("closed with %d", code)
	}
}
