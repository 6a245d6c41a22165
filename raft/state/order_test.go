package state

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"vera"
)

// What peers before the order of watches wrote: two entries, and a snapshot of
// a machine that applied them, with its hash.
const (
	oldOpening = "0105000000000000000101020b000401020000000000000000000000000000d00f"
	oldWatches = "010500000000000000010303070102000000000000000000000000000001072f646174612f61030109" +
		"070102000000000000000000000000000001072f646174612f62000009080102000000000000000000000000000001072f646174612f61"
	oldSnapshot = "56455241534e415001022605b92ef1208d79010500000000000000010500010102000000000000000000000000000001" +
		"000001050000000000000001d00f01072f646174612f6200000000ddb00620"
	oldHash = 0x798d20f12eb90526
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWhatOldPeersWroteIsRead: entries and snapshots from before watches had an
// order give the same state and the same hash as ever, and the log goes on.
func TestWhatOldPeersWroteIsRead(t *testing.T) {
	applied, restored := New(), New()
	applied.Apply(1, unhex(t, oldOpening))
	applied.Apply(2, unhex(t, oldWatches))
	if err := restored.Restore(bytes.NewReader(unhex(t, oldSnapshot))); err != nil {
		t.Fatal(err)
	}
	b, err := ParseBatch(unhex(t, oldWatches))
	if err != nil || b.Commands[0].Known != KnowsAll || b.Commands[2].Known != KnowsAll {
		t.Errorf("%+v, %v", b, err)
	}
	id := vera.SessionID{1, 2}
	for _, m := range []*Machine{applied, restored} {
		want := []vera.Watched{{Path: "/data/b", Limit: vera.NoLimit}}
		if s := m.Session(id); m.Hash() != oldHash || !slices.Equal(s.Watches(), want) || s.WatchChanged("/data/b") != 0 {
			t.Errorf("hash %x, watches %+v", m.Hash(), s.Watches())
		}
		next := Batch{Peer: 5, Incarnation: 1, First: 6, Commands: []Command{
			{Kind: Watch, Session: id, Life: 1, Path: "/data/b", Limit: 4, SessionWatches: 9, Known: 2, Arrival: 2},
		}}
		m.Apply(3, next.Append(nil))
		if s := m.Session(id); s.Watches()[0].Limit != 4 || s.WatchChanged("/data/b") != 2 {
			t.Errorf("watches %+v", s.Watches())
		}
	}
	if !bytes.Equal(snapshotOf(t, applied), snapshotOf(t, restored)) {
		t.Error("the two are not the same after one more entry")
	}
}

// TestOrdersOfWatchesAreBounded: of lists that are watched no more so many are
// known, the newest; of those that are watched all.
func TestOrdersOfWatchesAreBounded(t *testing.T) {
	p := newBenchPeer()
	life := p.open(1)
	apply := func(c Command) *Session {
		c.Session, c.Life, c.SessionWatches = benchSession(1), life, 1000
		p.index++
		p.machine.Apply(p.index, p.entry(c))
		if err := p.machine.Check(); err != nil {
			t.Fatal(err)
		}
		return p.machine.Session(benchSession(1))
	}
	path := func(i int) vera.Path { return vera.Path(fmt.Sprintf("/data/%03d", 999-i)) }
	var s *Session
	for i := range 200 {
		c := Command{Kind: Unwatch, Path: path(i), Known: uint64(i + 10), Arrival: uint64(i + 10)}
		if i%2 == 0 {
			c.Kind = Watch
		}
		s = apply(c)
	}
	for i := range 200 {
		want := uint64(i + 10)
		if i%2 == 1 && i < 200-2*leftPaths {
			want = 0
		}
		if got := s.WatchChanged(path(i)); got != want {
			t.Errorf("%s is of %d, not %d", path(i), got, want)
		}
	}
	if n := len(s.facts.orders); n != 100+leftPaths {
		t.Errorf("%d orders", n)
	}
}
