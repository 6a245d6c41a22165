package clients

import "vera/client"

// Command is what an actor is to do. It is answered by a Line with its RID,
// whenever it is done; commands that wait for each other are not sent together.
type Command struct {
	RID int    `json:"rid"`
	Do  string `json:"do"` // connect push update remove watch get elect state close

	URLs        []string `json:"urls,omitzero"`        // connect: the servers
	GraceMs     int      `json:"graceMs,omitzero"`     // connect: 0: the server's default
	HeartbeatMs int      `json:"heartbeatMs,omitzero"` // connect: 0: the server's default
	Local       bool     `json:"local,omitzero"`       // connect
	Connections string   `json:"connections,omitzero"` // connect: one or majority

	Path    string `json:"path,omitzero"`
	Version uint64 `json:"version,omitzero"` // update, remove: of an item that it pushed
	Data    any    `json:"data,omitzero"`    // push, update, elect
}

// Line is what an actor says: the answer to a command, or an event.
type Line struct {
	RID     int             `json:"rid,omitzero"`
	Error   *Refusal        `json:"error,omitzero"`   // nil: it is done
	Version uint64          `json:"version,omitzero"` // of a push, of an item that is lost
	State   string          `json:"state,omitzero"`   // connecting, connected, suspended, closed
	Session string          `json:"session,omitzero"`
	Listing *client.Listing `json:"listing,omitzero"` // of a get

	// Event is empty in an answer, else one of: state; lost (an item, for a
	// Reason); list (a watched one is told); of an election: elected, over, and
	// leads, which is said again and again for as long as the client holds that
	// it leads.
	Event  string               `json:"event,omitzero"`
	Reason string               `json:"reason,omitzero"`
	List   *client.Notification `json:"list,omitzero"`
	Fence  uint64               `json:"fence,omitzero"`
	Final  bool                 `json:"final,omitzero"` // over: for good

	// leads: the client was asked between these two moments, milliseconds by
	// the machine's clock.
	Before int64 `json:"before,omitzero"`
	After  int64 `json:"after,omitzero"`
}

// Refusal is how something failed.
type Refusal struct {
	Code    string `json:"code"` // one of the protocol's; "": none of them
	Message string `json:"message"`
}
