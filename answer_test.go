package vera

import (
	"slices"
	"testing"
	"time"
)

// TestAppendedItemsCostNoAllocation: what an answer costs does not depend on
// how many items it carries.
func TestAppendedItemsCostNoAllocation(t *testing.T) {
	dst := make([]byte, 0, 1<<20)
	cost := func(n int) (listing, notification float64) {
		items := someItems(n)
		l := Listing{Index: 9, ETag: 8, Total: n, Shown: n, Items: slices.Values(items)}
		note := Notification{Path: "/data/a", Index: 9, ETag: 8, Items: l.Items, Added: items, Updated: items, Removed: items}
		for _, by := range []OwnerShown{OwnerAddress, OwnerSession} {
			listing += testing.AllocsPerRun(10, func() { AppendListing(dst, []byte("1"), OK, "", l, 8, by) })
			notification += testing.AllocsPerRun(10, func() { AppendNotification(dst, note, by) })
		}
		return listing, notification
	}
	oneListing, oneNotification := cost(1)
	listing, notification := cost(1000)
	if listing != oneListing || notification != oneNotification {
		t.Errorf("1000 items cost %v and %v allocations, one item %v and %v", listing, notification, oneListing, oneNotification)
	}
}

func TestSmallAnswersCostNoAllocation(t *testing.T) {
	dst, rid := make([]byte, 0, 1<<16), []byte(`"17"`)
	info := SessionInfo{Peer: "a", Leader: "b", Items: []Held{{"/data/a", 1}}, Watches: []Watched{{"/data/a", 1, false}}}
	refusal := Errorf(Unavailable, "no leader")
	for name, write := range map[string]func(){
		"ok":      func() { AppendOK(dst, rid) },
		"error":   func() { AppendError(dst, rid, refusal) },
		"ping":    func() { AppendPing(dst, rid, time.Second, 7) },
		"session": func() { AppendSession(dst, rid, info) },
		"state":   func() { AppendState(dst, true, time.Second) },
	} {
		if n := testing.AllocsPerRun(100, write); n != 0 {
			t.Errorf("%s costs %v allocations", name, n)
		}
	}
}

func TestAnswersAreAppended(t *testing.T) {
	before := []byte("before ")
	for _, got := range [][]byte{
		AppendOK(before, nil),
		AppendError(before, nil, Errorf(Forbidden, "no")),
		AppendListing(before, nil, OK, "", Listing{}, 0, OwnerAddress),
		AppendNotification(before, Notification{}, OwnerAddress),
		AppendSession(before, nil, SessionInfo{}),
		AppendPing(before, nil, 0, 0),
		AppendState(before, true, 0),
	} {
		if string(got[:8]) != "before {" || got[len(got)-1] != '}' {
			t.Errorf("%s does not follow what was there", got)
		}
	}
}
