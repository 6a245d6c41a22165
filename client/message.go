package client

import (
	"bytes"
	"encoding/json"
	"time"

	"vera"
)

// encode returns v as JSON without touching what is JSON already but for space
// between tokens: data travels as its owner wrote it.
func encode(v any) (json.RawMessage, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// request is what goes over the wire to the server.
type request struct {
	RID        uint64          `json:"rid"`
	Action     vera.Action     `json:"action"`
	Path       string          `json:"path,omitzero"`
	Data       json.RawMessage `json:"data,omitzero"`
	Limit      *int            `json:"limit,omitzero"`
	Items      *bool           `json:"items,omitzero"`
	Consistent bool            `json:"consistent,omitzero"`
	MinIndex   uint64          `json:"minIndex,omitzero"`
	Since      uint64          `json:"since,omitzero"`
	Version    uint64          `json:"version,omitzero"`
	Once       string          `json:"once,omitzero"`
	IfMatch    *string         `json:"ifMatch,omitzero"`

	noneMatch string
	wait      time.Duration
}

// envelope is what is read of every message of the server, to know whose it is.
type envelope struct {
	RID     json.RawMessage `json:"rid"`
	Action  vera.Action     `json:"action"`
	Code    vera.Code       `json:"code"`
	Message string          `json:"message"`
	Applied json.RawMessage `json:"applied"`
	Path    string          `json:"path"`
	State   string          `json:"state"`
}

// refusal returns what e refuses, or nil.
func (e *envelope) refusal() error {
	if e.Code == vera.OK {
		return nil
	}
	refused := &vera.Error{Code: e.Code, Message: e.Message}
	switch string(e.Applied) {
	case "false":
		refused.Applied = vera.AppliedNo
	case `"unknown"`:
		refused.Applied = vera.AppliedUnknown
	}
	return refused
}

// Item is one item of a list.
type Item struct {
	Version uint64          `json:"version"`          // its place: index of its push
	Owner   string          `json:"owner,omitzero"`   // its client's address, or session where the server hides addresses
	Session string          `json:"session,omitzero"` // whose it is
	Updated uint64          `json:"updated,omitzero"` // index of its last update, 0: none
	Reason  string          `json:"reason,omitzero"`  // of a removed one: closed, expired, removed or ended
	Data    json.RawMessage `json:"data,omitzero"`    // a JSON object as it was pushed; nil for a removed one
}

// Decode reads the item's data into v, as json.Unmarshal does.
func (i Item) Decode(v any) error { return json.Unmarshal(i.Data, v) }

// Listing is a list at one index.
type Listing struct {
	Index   uint64 `json:"index"`            // the index that the peer had applied
	ETag    string `json:"etag"`             // changes with the list; "0" when it is empty
	Version uint64 `json:"version,omitzero"` // of a push: the new item's
	Items   []Item `json:"items,omitzero"`   // in the order of versions; nil when left out because nothing changed
	Total   int    `json:"total,omitzero"`   // items on the list, when a limit left some out
}

// Notification tells one or more changes of a list.
type Notification struct {
	Action vera.Action `json:"action"`
	Path   string      `json:"path"`
	Index  uint64      `json:"index"`
	ETag   string      `json:"etag"`
	// Reset says that there is no difference to be told: Items is the list,
	// whatever was known of it before.
	Reset   bool   `json:"reset,omitzero"`
	Items   []Item `json:"items,omitzero"` // the list at Index; nil when the watch wants differences only
	Added   []Item `json:"added,omitzero"`
	Updated []Item `json:"updated,omitzero"`
	Removed []Item `json:"removed,omitzero"`
	Total   int    `json:"total,omitzero"` // items on the list, when it is known that a limit left some out of Items; only a Client tells it
}

// Held names an item that a session holds.
type Held struct {
	Path    string `json:"path"`
	Version uint64 `json:"version"`
}

// Watched names a watch that a session has.
type Watched struct {
	Path  string `json:"path"`
	Limit *int   `json:"limit,omitzero"`
	Items *bool  `json:"items,omitzero"`
}

// Session is what a client is and what it holds.
type Session struct {
	Session     string    `json:"session"`
	Resumed     bool      `json:"resumed"` // false: a new life, that began empty
	GraceMs     int64     `json:"graceMs"`
	HeartbeatMs int64     `json:"heartbeatMs"`
	SafeMs      int64     `json:"safeMs"`
	Peer        string    `json:"peer"`
	Leader      string    `json:"leader"`
	Index       uint64    `json:"index"`
	Items       []Held    `json:"items"`
	Watches     []Watched `json:"watches"`
}

// Safe is what a ping learnt.
type Safe struct {
	For   time.Duration // from Sent on the session's items stay, whatever happens
	Sent  time.Time     // just before the ping left
	Index uint64        // that the peer had applied
}

// Until returns the moment at which a client that leads must have stopped,
// by this machine's monotonic clock.
func (s Safe) Until() time.Time { return s.Sent.Add(s.For) }
