package history

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"vera"
	"vera/client"
)

// Moment is when something happened.
type Moment struct {
	Seq int           // its place in the history, from 1 on; 0: never
	At  time.Duration // since the history began
}

// Before says whether a moment came and was earlier than another.
func (m Moment) Before(other Moment) bool { return m.Seq != 0 && m.Seq < other.Seq }

// Item is an item as somebody was told of it.
type Item struct {
	Path    string          `json:"path"` // only in what a session holds
	Version uint64          `json:"version"`
	Updated uint64          `json:"updated"`
	Session string          `json:"session"`
	Reason  string          `json:"reason"` // why it was removed
	Data    json.RawMessage `json:"data"`
	Life    uint64          `json:"-"` // in Change: the index at which its session's life began
}

// Message is what a server told: an answer, a notification or a state. Parse
// reads one from the wire.
type Message struct {
	RID     json.RawMessage `json:"rid"`
	Action  vera.Action     `json:"action"`
	Path    string          `json:"path"`
	Code    vera.Code       `json:"code"`
	Text    string          `json:"message"`
	Applied any             `json:"applied"` // false, "unknown" or nothing

	Index   uint64 `json:"index"`
	ETag    uint64 `json:"etag,string"`
	Version uint64 `json:"version"`
	Total   int    `json:"total"` // items on the list, also when none was left out
	Items   []Item `json:"items"` // nil: left out

	Reset   bool   `json:"reset"`
	Added   []Item `json:"added"`
	Updated []Item `json:"updated"`
	Removed []Item `json:"removed"`

	State   string `json:"state"`
	SafeMs  int64  `json:"safeMs"`
	Session string `json:"session"`
	Resumed bool   `json:"resumed"`

	Seen Moment `json:"-"` // when a notification came
}

// Parse reads a message of the server.
func Parse(text []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("not a message of the server: %w: %s", err, text)
	}
	m.Total = max(m.Total, len(m.Items))
	return m, nil
}

// Lost is the outcome of an operation whose answer never came: its effect is
// not known.
func Lost() Message { return Message{} }

// Refused is the outcome of an operation that failed with an error: the
// server's, or another, of which nothing is known.
func Refused(err error) Message {
	refused, is := err.(*vera.Error)
	if !is {
		return Lost()
	}
	m := Message{Code: refused.Code, Text: refused.Message}
	switch refused.Applied {
	case vera.AppliedNo:
		m.Applied = false
	case vera.AppliedUnknown:
		m.Applied = "unknown"
	}
	return m
}

// Told is the answer of a client that returned a listing. Items that it left
// out stay left out.
func Told(l client.Listing) Message {
	m := Message{Code: vera.OK, Index: l.Index, ETag: number(l.ETag), Version: l.Version, Items: Items(l.Items)}
	m.Total = max(l.Total, len(m.Items))
	return m
}

// Notified is a notification as package client has it.
func Notified(n client.Notification) Message {
	return Message{
		Action: n.Action, Path: n.Path, Index: n.Index, ETag: number(n.ETag), Reset: n.Reset, Items: Items(n.Items),
		Added: Items(n.Added), Updated: Items(n.Updated), Removed: Items(n.Removed),
	}
}

// Items are items of package client; nil stays nil.
func Items(items []client.Item) []Item {
	if items == nil {
		return nil
	}
	all := make([]Item, 0, len(items))
	for _, it := range items {
		all = append(all, Item{Version: it.Version, Updated: it.Updated, Session: it.Session, Reason: it.Reason, Data: it.Data})
	}
	return all
}

// number reads an etag. What is none becomes one that no list ever has.
func number(etag string) uint64 {
	n, err := strconv.ParseUint(etag, 10, 64)
	if err != nil {
		return ^uint64(0)
	}
	return n
}

// same says whether two items are the same in the same state.
func same(a, b Item) bool {
	return a.Version == b.Version && a.Updated == b.Updated && a.Session == b.Session && string(a.Data) == string(b.Data)
}
