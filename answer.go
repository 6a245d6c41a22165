package vera

import (
	"iter"
	"strconv"
	"time"
)

// OwnerShown says what an item shows as its owner.
type OwnerShown uint8

// What an item may show as its owner.
const (
	OwnerAddress OwnerShown = iota // the client's IP address
	OwnerSession                   // --owner=session: the session's id once more
)

// AppendOK appends the answer that says nothing but OK. As in every answer,
// rid is the request's raw JSON and left out when it is empty.
func AppendOK(dst, rid []byte) []byte {
	return append(appendAnswer(dst, rid, OK, ""), '}')
}

// AppendError appends the answer that refuses a request.
func AppendError(dst, rid []byte, e *Error) []byte {
	dst = appendAnswer(dst, rid, e.Code, e.Message)
	switch e.Applied {
	case AppliedNo:
		dst = append(dst, `,"applied":false`...)
	case AppliedUnknown:
		dst = append(dst, `,"applied":"unknown"`...)
	}
	return append(dst, '}')
}

// AppendListing appends the answer that carries a list: OK, or
// PreconditionFailed with a message. version is the item's that the request
// made or changed, 0 when there is none. Nil l.Items are left out, total too
// unless l.Shown is less.
func AppendListing(dst, rid []byte, code Code, message string, l Listing, version uint64, by OwnerShown) []byte {
	dst = appendAnswer(dst, rid, code, message)
	dst = appendIndexes(dst, l.Index, l.ETag)
	if version != 0 {
		dst = appendUint(append(dst, `,"version":`...), version)
	}
	if l.Shown < l.Total {
		dst = strconv.AppendInt(append(dst, `,"total":`...), int64(l.Total), 10)
	}
	if l.Items != nil {
		dst = appendItems(append(dst, `,"items":`...), l.Items, by)
	}
	return append(dst, '}')
}

// AppendPing appends the answer to a ping: for so long, counted from the
// request's arrival, the session's items stay. The remainder of a millisecond
// is dropped, never added.
func AppendPing(dst, rid []byte, safe time.Duration, index uint64) []byte {
	dst = appendAnswer(dst, rid, OK, "")
	dst = appendMillis(append(dst, `,"safeMs":`...), safe)
	dst = appendUint(append(dst, `,"index":`...), index)
	return append(dst, '}')
}

// appendAnswer appends the beginning of every answer, an open object.
func appendAnswer(dst, rid []byte, code Code, message string) []byte {
	dst = append(dst, '{')
	if len(rid) > 0 {
		dst = append(append(append(dst, `"rid":`...), rid...), ',')
	}
	dst = appendString(append(dst, `"code":`...), string(code))
	if message != "" {
		dst = appendString(append(dst, `,"message":`...), message)
	}
	return dst
}

// appendIndexes appends which index a list is of and when it last changed.
func appendIndexes(dst []byte, index, etag uint64) []byte {
	dst = appendUint(append(dst, `,"index":`...), index)
	dst = appendUint(append(dst, `,"etag":"`...), etag)
	return append(dst, '"')
}

// appendItems appends an array of items.
func appendItems(dst []byte, items iter.Seq[*Item], by OwnerShown) []byte {
	dst = append(dst, '[')
	n := 0
	for it := range items {
		dst = appendItem(appendComma(dst, n), it, by)
		n++
	}
	return append(dst, ']')
}

// appendItem appends one item. One that belongs to no session, such as a
// peer's, shows none.
func appendItem(dst []byte, it *Item, by OwnerShown) []byte {
	dst = appendUint(append(dst, `{"version":`...), it.Version)
	if it.Updated != 0 {
		dst = appendUint(append(dst, `,"updated":`...), it.Updated)
	}
	nobody := it.Session == SessionID{}
	dst = append(dst, `,"owner":`...)
	if by == OwnerSession && !nobody {
		dst = appendSessionID(dst, &it.Session)
	} else {
		dst = appendString(dst, it.Owner)
	}
	if !nobody {
		dst = appendSessionID(append(dst, `,"session":`...), &it.Session)
	}
	return append(append(append(dst, `,"data":`...), it.Data...), '}')
}

func appendSessionID(dst []byte, id *SessionID) []byte {
	return append(sessionCoding.AppendEncode(append(dst, '"'), id[:]), '"')
}

// appendComma appends what stands before the nth element of an array.
func appendComma(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return append(dst, ',')
}

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// appendMillis appends whole milliseconds, rounded down, at least 0.
func appendMillis(dst []byte, d time.Duration) []byte {
	return strconv.AppendInt(dst, max(0, d.Milliseconds()), 10)
}
