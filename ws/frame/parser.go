package frame

import (
	"fmt"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// maxEmpty is how many fragments of one message may be empty: they are legal,
// cost work and never reach the limit of a message.
const maxEmpty = 64

// Kind says what an event is.
type Kind uint8

// The kinds of events.
const (
	None  Kind = iota // all bytes are taken and nothing is complete
	Text              // a whole text message
	Ping              // to be answered with the same payload
	Pong              // to be ignored
	Close             // the other side sends nothing more
)

// Event is what a Parser found.
type Event struct {
	Kind Kind
	// Payload is the message of a Text, which the receiver owns; the payload of
	// a Ping or a Pong; the reason of a Close. But for Text it is valid until
	// the next call of Next.
	Payload []byte
	Code    vera.CloseCode // of a Close; vera.CloseEmpty when it has none
}

// Error says why a connection must be failed, and with which code.
type Error struct {
	Code   vera.CloseCode
	Reason string // for people, short enough for a Close frame
}

// Error returns the code and the reason.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Reason) }

func broken(reason string) error { return &Error{vera.CloseProtocol, reason} }

// Parser finds the events in what a client sends. The zero value is ready. One
// goroutine at a time may use it.
type Parser struct {
	header     header
	done       int32  // bytes of the frame's payload that came
	frames     uint32 // frames that began; it may wrap
	message    []byte // unmasked, of all frames of the message so far
	checked    int32  // bytes of message that are known to be whole UTF-8 characters
	empty      uint8  // fragments of the message without a byte
	body       bool   // the header is complete: payload comes
	fragmented bool   // a message has begun and its last frame has not
	control    *part  // of a control frame that came in parts
}

// part is the payload of a control frame, unmasked, as far as it came.
type part struct {
	n     int
	bytes [gobwas.MaxControlFramePayloadSize]byte
}

// Between says that no frame and no message is half done.
func (p *Parser) Between() bool { return p.header.have == 0 && !p.body && !p.fragmented }

// Frames counts the frames that began, so that a caller can tell whether the
// one that is half done is still the same. It may wrap.
func (p *Parser) Frames() uint32 { return p.frames }

// Next takes bytes from in until it has found an event, and returns what it
// did not take. It changes the bytes that it takes. limit bounds a message in
// bytes. The error is an *Error.
func (p *Parser) Next(in []byte, limit int) (rest []byte, e Event, err error) {
	for {
		if !p.body {
			if len(in) > 0 && p.header.have == 0 {
				p.frames++
			}
			if in, p.body, err = p.header.take(in, p, limit); err != nil || !p.body {
				return nil, Event{}, err
			}
		}
		if p.header.OpCode.IsControl() {
			in, e, err = p.takeControl(in)
		} else {
			in, e, err = p.takeText(in)
		}
		if err != nil || e.Kind != None || p.body {
			return in, e, err
		}
	}
}

// unmask takes the part of the frame's payload that is in in, unmasked.
func (p *Parser) unmask(in []byte) (part, rest []byte) {
	n := min(len(in), int(p.header.Length)-int(p.done))
	part, rest = in[:n], in[n:]
	gobwas.Cipher(part, p.header.Mask, int(p.done))
	p.done += int32(n)
	return part, rest
}

// complete says whether the frame's payload is there. If so the next frame may
// begin.
func (p *Parser) complete() bool {
	if int64(p.done) < p.header.Length {
		return false
	}
	p.body, p.done, p.header.have = false, 0, 0
	return true
}

func (p *Parser) takeControl(in []byte) (rest []byte, e Event, err error) {
	payload, rest := p.unmask(in)
	if p.control != nil || len(payload) < int(p.header.Length) {
		if p.control == nil {
			p.control = new(part)
		}
		p.control.n += copy(p.control.bytes[p.control.n:], payload)
		payload = p.control.bytes[:p.control.n]
	}
	if !p.complete() {
		return rest, Event{}, nil
	}
	p.control = nil
	switch p.header.OpCode {
	case gobwas.OpPing:
		return rest, Event{Kind: Ping, Payload: payload}, nil
	case gobwas.OpPong:
		return rest, Event{Kind: Pong, Payload: payload}, nil
	}
	e, err = closing(payload)
	return rest, e, err
}

func (p *Parser) takeText(in []byte) (rest []byte, e Event, err error) {
	part, rest := p.unmask(in)
	if p.message == nil && len(part) == int(p.header.Length) && p.header.Fin {
		p.message = make([]byte, 0, len(part))
	}
	p.message = append(p.message, part...)
	last := p.header.Fin && int64(p.done) == p.header.Length
	if !p.checkText(last) {
		return rest, Event{}, &Error{vera.CloseText, "text that is not UTF-8"}
	}
	if !p.complete() {
		return rest, Event{}, nil
	}
	if !last {
		if p.fragmented = true; p.header.Length == 0 {
			p.empty++
		}
		if p.empty > maxEmpty {
			return rest, Event{}, &Error{vera.ClosePolicy, fmt.Sprintf("more than %d empty fragments", maxEmpty)}
		}
		return rest, Event{}, nil
	}
	e = Event{Kind: Text, Payload: p.message}
	p.message, p.checked, p.empty, p.fragmented = nil, 0, 0, false
	return rest, e, nil
}

// checkText says whether the message can still be UTF-8; with last, whether it
// is.
func (p *Parser) checkText(last bool) bool {
	fresh := p.message[p.checked:]
	if !last {
		fresh = fresh[:whole(fresh)]
	}
	p.checked += int32(len(fresh))
	return utf8.Valid(fresh)
}

// whole returns the length of text but for a character at its end that may
// still become whole. Bytes that cannot become one count as whole, and are
// then found invalid.
func whole(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if start := len(text) - n; utf8.RuneStart(text[start]) {
			if !utf8.FullRune(text[start:]) {
				return start
			}
			break
		}
	}
	return len(text)
}
