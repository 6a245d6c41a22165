package vera

import (
	"strconv"
	"time"
)

// Held is an item that a session holds.
type Held struct {
	Path    Path
	Version uint64
}

// Watched is a list that a session watches, and how.
type Watched struct {
	Path  Path
	Limit int  // the first n items; NoLimit for all
	Items bool // tell all items with each notification
}

// SessionInfo is what a client is and what it holds.
type SessionInfo struct {
	Session   SessionID
	Resumed   bool          // it lived before this connection came
	Grace     time.Duration // how long it outlives a lost connection
	Heartbeat time.Duration
	Safe      time.Duration // for so long its items stay, whatever happens
	Peer      string        // the name of the peer that answers
	Leader    string        // the leader's name, "" when none is known
	Index     uint64        // index that this peer had applied
	Items     []Held
	Watches   []Watched
}

// AppendSession appends the answer to the session action. Of a watch, options
// that have their default are left out, as in a request.
func AppendSession(dst, rid []byte, s SessionInfo) []byte {
	dst = appendAnswer(dst, rid, OK, "")
	dst = appendSessionID(append(dst, `,"session":`...), &s.Session)
	dst = strconv.AppendBool(append(dst, `,"resumed":`...), s.Resumed)
	dst = appendMillis(append(dst, `,"graceMs":`...), s.Grace)
	dst = appendMillis(append(dst, `,"heartbeatMs":`...), s.Heartbeat)
	dst = appendMillis(append(dst, `,"safeMs":`...), s.Safe)
	dst = appendString(append(dst, `,"peer":`...), s.Peer)
	dst = appendString(append(dst, `,"leader":`...), s.Leader)
	dst = appendUint(append(dst, `,"index":`...), s.Index)
	dst = append(dst, `,"items":[`...)
	for i, held := range s.Items {
		dst = appendComma(dst, i)
		dst = appendString(append(dst, `{"path":`...), string(held.Path))
		dst = appendUint(append(dst, `,"version":`...), held.Version)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"watches":[`...)
	for i, watched := range s.Watches {
		dst = appendComma(dst, i)
		dst = appendString(append(dst, `{"path":`...), string(watched.Path))
		if watched.Limit != NoLimit {
			dst = strconv.AppendInt(append(dst, `,"limit":`...), int64(watched.Limit), 10)
		}
		if !watched.Items {
			dst = append(dst, `,"items":false`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}
