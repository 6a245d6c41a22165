package vera

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"iter"
)

// SessionID is a session's public name: a hash of the secret in its cookie and
// of the connection's label. Knowing it gives no power over the session.
type SessionID [16]byte

// sessionAlphabet has no letters that read alike and needs no quoting in a
// URL or a shell.
const sessionAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var sessionCoding = base32.NewEncoding(sessionAlphabet).WithPadding(base32.NoPadding)

// SessionOf returns the id of the session that a secret and a label name. The
// label may be empty.
func SessionOf(secret []byte, label string) SessionID {
	h := sha256.New()
	h.Write([]byte("vera session\x00"))
	h.Write(secret)
	h.Write([]byte{0})
	h.Write([]byte(label))
	return SessionID(h.Sum(nil)[:16])
}

// String returns the id in 26 lower-case letters and digits.
func (s SessionID) String() string { return sessionCoding.EncodeToString(s[:]) }

// ParseSessionID reads what String wrote.
func ParseSessionID(text string) (id SessionID, err error) {
	raw, err := sessionCoding.DecodeString(text)
	if err != nil || len(raw) != len(id) || SessionID(raw).String() != text {
		return id, errors.New("a session's id is 26 lower-case letters and digits, as they were shown")
	}
	return SessionID(raw), nil
}

// Reason says why an item left its list.
type Reason uint8

// The reasons, as the wire has them through String.
const (
	Stays   Reason = iota // still there
	Closed                // its client closed on purpose
	Expired               // its client was lost and not back in time
	Removed               // given up by its session
	Ended                 // an operator ended the session
)

// String returns the wire's word.
func (r Reason) String() string {
	return [...]string{"", "closed", "expired", "removed", "ended"}[r]
}

// Origin is what all states of one item share.
type Origin struct {
	Version uint64    // index of the push; rises strictly along a list
	Session SessionID // whose it is
	Life    uint64    // index at which that session was opened
	Owner   string    // the client's IP address as its peer saw it

	// Reason is written once, by the state machine, before the first list
	// without the item is published. Only who holds such a list may read it.
	Reason Reason
}

// Item is one state of an item. It is immutable.
type Item struct {
	*Origin
	Updated uint64 // index of the last update; 0 when there was none
	Data    []byte // a JSON object, compacted, otherwise as it was sent
}

// Listing is what one list was at one index, ready to be told.
type Listing struct {
	Index uint64          // the index that this peer had applied
	ETag  uint64          // index of the list's last change; 0 when it is empty
	Total int             // items on the list
	Shown int             // items in Items: less than Total when a limit left some out
	Items iter.Seq[*Item] // in the order of their versions; may be walked more than once
}
