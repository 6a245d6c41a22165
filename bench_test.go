package vera

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func BenchmarkParseRequest(b *testing.B) {
	limits := DefaultLimits(1024)
	cases := map[string]string{
		"push": `{"rid":"17","action":"push","path":"/data/services/web","data":{"host":"10.0.0.1","port":8080,"zone":"a"}}`,
		"get":  `{"rid":17,"action":"get","path":"/data/services/web","limit":1}`,
		"ping": `{"rid":"17","action":"ping"}`,
		"64KB": `{"rid":"17","action":"push","path":"/data/services/web","data":{"blob":"` + strings.Repeat("x", 65_000) + `"}}`,
	}
	for _, name := range []string{"push", "get", "ping", "64KB"} {
		message := []byte(cases[name])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if _, err := ParseRequest(message, &limits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// someItems makes a list of n items of one session.
func someItems(n int) []*Item {
	session := SessionOf([]byte("0123456789abcdef"), "")
	items := make([]*Item, 0, n)
	for i := range n {
		origin := &Origin{Version: uint64(1000 + i), Session: session, Life: 7, Owner: "10.99.99.14", Reason: Closed}
		items = append(items, &Item{Origin: origin, Data: []byte(`{"host":"10.0.0.1","port":8080,"zone":"a"}`)})
	}
	return items
}

func BenchmarkAppendListing(b *testing.B) {
	for name, n := range map[string]int{"items=1": 1, "items=100": 100} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			listing := Listing{Index: 2000, ETag: 1999, Total: n, Shown: n, Items: slices.Values(someItems(n))}
			rid, dst := []byte(`"17"`), make([]byte, 0, 1<<16)
			for b.Loop() {
				dst = AppendListing(dst[:0], rid, OK, "", listing, 1999, OwnerAddress)
			}
		})
	}
}

func BenchmarkAppendNotification(b *testing.B) {
	b.ReportAllocs()
	items := someItems(10)
	n := Notification{Path: "/data/services/web", Index: 2000, ETag: 2000, Items: slices.Values(items), Added: items[9:], Removed: items[:1]}
	dst := make([]byte, 0, 1<<16)
	for b.Loop() {
		dst = AppendNotification(dst[:0], n, OwnerAddress)
	}
}

func BenchmarkAppendPing(b *testing.B) {
	b.ReportAllocs()
	rid, dst := []byte(`"17"`), make([]byte, 0, 1024)
	for b.Loop() {
		dst = AppendPing(dst[:0], rid, 1500*time.Millisecond, 2000)
	}
}
