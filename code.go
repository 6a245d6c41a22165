package vera

import "fmt"

// Code is the machine-switchable word of an answer. The list only ever grows.
type Code string

// The codes. Their HTTP statuses and close codes stand in one table, codeTable.
const (
	OK                 Code = "OK"
	InvalidParameter   Code = "InvalidParameter"
	Forbidden          Code = "Forbidden"
	NotFound           Code = "NotFound"
	PreconditionFailed Code = "PreconditionFailed"
	TooLarge           Code = "TooLarge"
	TooManyRequests    Code = "TooManyRequests"
	InternalError      Code = "InternalError"
	Unavailable        Code = "Unavailable"
	SessionEnded       Code = "SessionEnded"
)

// CloseCode is the status of a WebSocket Close frame, RFC 6455 section 7.4.
type CloseCode uint16

// The close codes that Vera sends, and two that are never on the wire: CloseNone
// says that no Close frame came, CloseEmpty that one came without a code.
const (
	CloseNone      CloseCode = 0
	CloseDone      CloseCode = 1000 // the session was closed by its client
	CloseGoingAway CloseCode = 1001 // this peer drains: reconnect elsewhere, nothing is lost
	CloseProtocol  CloseCode = 1002
	CloseData      CloseCode = 1003 // a binary message
	CloseText      CloseCode = 1007 // text that is not UTF-8
	ClosePolicy    CloseCode = 1008
	CloseTooLarge  CloseCode = 1009
	CloseTryLater  CloseCode = 1013
	CloseEnded     CloseCode = 4000 // the session ended
	CloseTooSlow   CloseCode = 4001 // nothing could be written for too long
	CloseForbidden CloseCode = 4003
	CloseEmpty     CloseCode = 1005
)

// meaning is one row of the table of codes.
type meaning struct {
	code   Code
	status int
	close  CloseCode
}

// codeTable is the one table from code to HTTP status and, for codes that
// end a connection, the close code that goes with them.
var codeTable = [...]meaning{
	{OK, 200, CloseDone},
	{InvalidParameter, 400, CloseProtocol},
	{Forbidden, 403, CloseForbidden},
	{NotFound, 404, ClosePolicy},
	{PreconditionFailed, 412, ClosePolicy},
	{TooLarge, 413, CloseTooLarge},
	{TooManyRequests, 429, ClosePolicy},
	{InternalError, 500, CloseTryLater},
	{Unavailable, 503, CloseTryLater},
	{SessionEnded, 409, CloseEnded},
}

// Codes returns every code, in the order of the protocol's table.
func Codes() []Code {
	codes := make([]Code, 0, len(codeTable))
	for _, row := range codeTable {
		codes = append(codes, row.code)
	}
	return codes
}

// Status returns the HTTP status that goes with c; 500 for an unknown code.
func (c Code) Status() int { return c.row().status }

// Close returns the close code that goes with c when it ends a connection.
func (c Code) Close() CloseCode { return c.row().close }

func (c Code) row() meaning {
	for _, row := range codeTable {
		if row.code == c {
			return row
		}
	}
	return meaning{c, 500, CloseTryLater}
}

// Applied says of a request that failed whether it took effect all the same.
type Applied uint8

// What is known of a failed request's effect.
const (
	AppliedNo      Applied = iota + 1 // surely not: it may be repeated
	AppliedUnknown                    // it may have been: look before repeating, or repeat with once
)

// Error is a refusal as a client is told it.
type Error struct {
	Code    Code
	Message string  // for people: names the field and the limit it broke
	Applied Applied // only with Unavailable
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf makes an *Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
