package frame

import (
	"encoding/binary"
	"fmt"
	"io"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// header collects the bytes of a frame's header, and is then the header.
type header struct {
	gobwas.Header
	raw    [gobwas.MaxHeaderSize]byte
	have   uint8 // bytes in raw
	read   uint8 // bytes of raw that Read has given away
	masked bool
	buffer [gobwas.MaxHeaderSize - 2]byte // for the codec
}

// Read lets gobwas' codec read the header from memory, without its mask.
func (h *header) Read(dst []byte) (int, error) {
	n := copy(dst, h.raw[h.read:h.bare()])
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	h.read += uint8(n)
	return n, nil
}

// bare returns the size of the header without its mask, as far as it is known.
func (h *header) bare() int {
	if h.have < 2 {
		return 2
	}
	switch h.raw[1] {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// take takes bytes of a header from in and says whether it is complete. A header
// that is no good is refused before its mask came.
func (h *header) take(in []byte, p *Parser, limit int) (rest []byte, complete bool, err error) {
	for {
		if h.have >= 2 && int(h.have) == h.bare() {
			if err := h.check(p, limit); err != nil {
				return nil, false, err
			}
		}
		if int(h.have) == h.bare()+len(h.Mask) {
			copy(h.Mask[:], h.raw[h.bare():])
			return in, true, nil
		}
		if len(in) == 0 {
			return nil, false, nil
		}
		h.raw[h.have] = in[0]
		h.have++
		if in = in[1:]; h.have == 2 {
			h.masked = h.raw[1]&0x80 != 0
			h.raw[1] &^= 0x80
		}
	}
}

// check decodes the header and checks it against the protocol, the state of p
// and the limit. It may run more than once for a header.
func (h *header) check(p *Parser, limit int) (err error) {
	h.read = 0
	if h.Header, err = gobwas.ReadHeaderBuffer(h, h.buffer[:]); err != nil {
		return broken(err.Error())
	}
	if gobwas.HeaderSize(h.Header) != h.bare() {
		return broken("the length is not in its shortest form")
	}
	h.Masked = h.masked
	state := gobwas.StateServerSide
	if p.fragmented {
		state = state.Set(gobwas.StateFragmented)
	}
	if err := gobwas.CheckHeader(h.Header, state); err != nil {
		return broken(err.Error())
	}
	switch {
	case h.OpCode == gobwas.OpBinary:
		return &Error{vera.CloseData, "binary messages are not understood: send text"}
	case !h.OpCode.IsControl() && h.Length > int64(limit-len(p.message)):
		return &Error{vera.CloseTooLarge, fmt.Sprintf("a message has at most %d bytes", limit)}
	}
	return nil
}

// closing reads the payload of a Close frame.
func closing(payload []byte) (Event, error) {
	if len(payload) == 0 {
		return Event{Kind: Close, Code: vera.CloseEmpty}, nil
	}
	code, reason := gobwas.ParseCloseFrameData(payload)
	switch err := gobwas.CheckCloseFrameData(code, reason); {
	case len(payload) == 1:
		return Event{}, broken("a Close frame with half a code")
	case err == gobwas.ErrProtocolInvalidUTF8:
		return Event{}, &Error{vera.CloseText, "a reason that is not UTF-8"}
	case err != nil && !registered(code), code > gobwas.StatusRangePrivate.Max:
		return Event{}, broken("a close code that must not be sent")
	}
	return Event{Kind: Close, Code: vera.CloseCode(code), Payload: payload[2:]}, nil
}

// registered says of a code that gobwas does not know that IANA does: 1012
// (service restart), 1013 (try again later) and 1014 (bad gateway).
func registered(code gobwas.StatusCode) bool { return 1012 <= code && code <= 1014 }

// Op says what a frame of the server is. Messages are not fragmented.
type Op byte

// The frames of a server.
const (
	OpText  = Op(gobwas.OpText)
	OpClose = Op(gobwas.OpClose)
	OpPing  = Op(gobwas.OpPing)
	OpPong  = Op(gobwas.OpPong)
)

// MaxHeader is the size in bytes of the largest header that AppendHeader makes.
const MaxHeader = 10

// AppendHeader appends the header of a frame whose payload has n bytes: final,
// not masked.
func AppendHeader(dst []byte, op Op, n int) []byte {
	dst = append(dst, 0x80|byte(op))
	switch {
	case n <= 125:
		return append(dst, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
}

// Append appends a whole frame.
func Append(dst []byte, op Op, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// maxReason is how many bytes of a reason fit into a Close frame.
const maxReason = gobwas.MaxControlFramePayloadSize - 2

// AppendClose appends a Close frame. A reason that is too long is cut; with
// vera.CloseNone or vera.CloseEmpty the frame has no body.
func AppendClose(dst []byte, code vera.CloseCode, reason string) []byte {
	if code == vera.CloseNone || code == vera.CloseEmpty {
		return AppendHeader(dst, OpClose, 0)
	}
	if len(reason) > maxReason {
		reason = reason[:whole([]byte(reason[:maxReason]))]
	}
	dst = AppendHeader(dst, OpClose, 2+len(reason))
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), reason...)
}
