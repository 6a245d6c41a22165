package vera

import (
	"iter"
	"slices"
	"time"
)

// Notification tells the watcher of a list what became of it.
type Notification struct {
	Path    Path
	Index   uint64          // the list is told as it was at this index
	ETag    uint64          // index of its last change; 0 when it is empty
	Reset   bool            // what was told before no longer counts: Items are all, there is no difference
	Items   iter.Seq[*Item] // the list or its watched beginning; nil: left out
	Added   []*Item         // in the order of their versions, as the other two
	Updated []*Item         // as they are now
	Removed []*Item         // as they were; their Reason says why
}

// AppendNotification appends a notification. Without Reset all three parts of
// the difference are there, also those that are empty.
func AppendNotification(dst []byte, n Notification, by OwnerShown) []byte {
	dst = appendString(append(dst, `{"action":"notify","path":`...), string(n.Path))
	dst = appendIndexes(dst, n.Index, n.ETag)
	if n.Reset {
		dst = append(dst, `,"reset":true`...)
	}
	if n.Items != nil {
		dst = appendItems(append(dst, `,"items":`...), n.Items, by)
	}
	if !n.Reset {
		dst = appendItems(append(dst, `,"added":`...), slices.Values(n.Added), by)
		dst = appendItems(append(dst, `,"updated":`...), slices.Values(n.Updated), by)
		dst = append(dst, `,"removed":[`...)
		for i, it := range n.Removed {
			dst = appendRemoved(appendComma(dst, i), it)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendRemoved appends what is told of an item that left its list.
func appendRemoved(dst []byte, it *Item) []byte {
	dst = appendUint(append(dst, `{"version":`...), it.Version)
	if it.Session != (SessionID{}) {
		dst = appendSessionID(append(dst, `,"session":`...), &it.Session)
	}
	if it.Reason != Stays {
		dst = appendString(append(dst, `,"reason":`...), it.Reason.String())
	}
	return append(dst, '}')
}

// AppendState appends the word that this peer lost the majority, and how long
// the session's items stay all the same, or that it is back.
func AppendState(dst []byte, suspended bool, safe time.Duration) []byte {
	if !suspended {
		return append(dst, `{"action":"state","state":"connected"}`...)
	}
	dst = appendMillis(append(dst, `{"action":"state","state":"suspended","safeMs":`...), safe)
	return append(dst, '}')
}
