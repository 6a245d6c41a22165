package state

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"vera"
)

// everyKind is a command of each kind, with all its fields set.
func everyKind() []Command {
	id := vera.SessionID{1, 2, 3, 255}
	return []Command{
		{Kind: Push, Session: id, Life: 7, Path: "/data/ä", Data: []byte(`{"n":1}`), Owner: "10.0.0.1", IfMatch: math.MaxUint64, Conditional: true,
			Once: "k", SessionItems: 10_000, ListItems: math.MaxInt},
		{Kind: Push, Session: id, Life: 7, Path: "/data/a", Data: []byte{}},
		{Kind: Update, Session: id, Life: 7, Path: "/data/a", Data: []byte("{}"), Version: 300, Conditional: true},
		{Kind: Remove, Session: id, Life: 7, Path: "/data/a", Version: 300, IfMatch: 5, Conditional: true},
		{Kind: Open, Session: id, Grace: 10 * time.Minute},
		{Kind: Attach, Session: id, Life: 7, Grace: time.Millisecond},
		{Kind: Detach, Session: id, Life: 7, Grace: 2 * time.Second, Clean: true},
		{Kind: Watch, Session: id, Life: 7, Path: "/data/a", Limit: vera.NoLimit, Items: true, SessionWatches: 1_000, Known: KnowsAll, Arrival: 300},
		{Kind: Watch, Session: id, Life: 7, Path: vera.PeersPath, Limit: 0},
		{Kind: Unwatch, Session: id, Life: 7, Path: "/data/a", Known: 9, Arrival: 9},
		{Kind: End, Session: id, Life: 7, Reason: vera.Ended},
		{Kind: Expire, Session: id, Life: 7, Since: 1 << 40},
		{Kind: Skippable | 3, Data: []byte("what nobody knows")},
		{Kind: PeerUp, Grace: 10 * time.Second},
		{Kind: PeerGone, Peer: math.MaxUint64, Incarnation: 9, Grace: 10 * time.Second},
	}
}

// batchOf puts a command where it may stand.
func batchOf(c Command) Batch {
	b := Batch{Peer: 1 << 63, Incarnation: 3, First: 200, Commands: []Command{c}}
	switch c.Kind {
	case PeerUp:
		b.First = 1
	case PeerGone:
		b.First = 0
	}
	return b
}

func TestBatchComesBack(t *testing.T) {
	var shared []Command
	for _, c := range everyKind() {
		b := batchOf(c)
		back, err := ParseBatch(b.Append(nil))
		if err != nil || !reflect.DeepEqual(back, b) {
			t.Errorf("%+v comes back as %+v, %v", b, back, err)
		}
		if c.Kind != PeerUp && c.Kind != PeerGone && !c.Kind.Alone() {
			shared = append(shared, c)
		}
	}
	b := Batch{Peer: 4, Incarnation: 1, First: 2, Commands: shared}
	if back, err := ParseBatch(b.Append(nil)); err != nil || !reflect.DeepEqual(back, b) {
		t.Errorf("%+v comes back as %+v, %v", b, back, err)
	}
	odd := batchOf(Command{Kind: Open, Grace: 1500 * time.Microsecond})
	if back, err := ParseBatch(odd.Append(nil)); err != nil || back.Commands[0].Grace != 2*time.Millisecond {
		t.Errorf("a grace of 1.5 ms comes back as %+v, %v", back, err)
	}
}

// TestBatchIsStrict: whatever is cut off, appended, longer than it must be or
// out of place is refused.
func TestBatchIsStrict(t *testing.T) {
	for _, c := range everyKind() {
		b := batchOf(c)
		entry := b.Append(nil)
		for n := range entry {
			if _, err := ParseBatch(entry[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are enough", c.Kind, n, len(entry))
			}
		}
		if _, err := ParseBatch(append(entry, 0)); err == nil {
			t.Errorf("%s: a byte more is accepted", c.Kind)
		}
	}
	head := func(first uint64, count int, rest ...byte) []byte {
		b := binary.LittleEndian.AppendUint64([]byte{batchVersion}, 5)
		b = binary.AppendUvarint(b, 1)
		b = binary.AppendUvarint(b, first)
		return append(binary.AppendUvarint(b, uint64(count)), rest...)
	}
	session := bytes.Repeat([]byte{1}, 16)
	with := func(kind Kind, rest ...byte) []byte { return append(append([]byte{byte(kind)}, session...), rest...) }
	up, open := []byte{byte(PeerUp), 0}, with(Open, 0)
	for want, entry := range map[string][]byte{
		"version 3":                 append([]byte{3}, head(2, 1, open...)[1:]...),
		"version 0":                 append([]byte{0}, head(2, 1, open...)[1:]...),
		"arrived at 2, and it":      head(2, 1, with(Unwatch, 7, 0, 1, 2)...),
		"without commands":          head(2, 0),
		"the kind 0 is unknown":     head(2, 1, 0),
		"the kind 13 is unknown":    head(2, 1, 13),
		"the kind 127 is unknown":   head(2, 1, 127),
		"100 commands in":           head(2, 100, open...),
		"numbers overflow":          head(math.MaxUint64, 1, open...),
		"open: it must be numbered": head(0, 1, open...),
		"must not be numbered":      head(2, 1, append([]byte{byte(PeerGone)}, make([]byte, 10)...)...),
		"peer-up: its number is 2":  head(2, 1, up...),
		"open: its number is 1":     head(1, 1, open...),
		"must travel alone":         head(2, 2, append(with(Remove, 7, 0, 0, 1), open...)...),
		"neither 0 nor 1":           head(2, 1, with(Detach, 7, 0, 2)...),
		"longer than it must":       head(2, 1, with(Open, 0x80, 0)...),
		"too large":                 head(2, 1, with(Open, bytes.Repeat([]byte{255}, 11)...)...),
		"too long":                  head(2, 1, with(Open, binary.AppendUvarint(nil, math.MaxUint64)...)...),
		"nor ended":                 head(2, 1, with(End, 7, byte(vera.Expired))...),
		"middle of a field":         head(2, 1, with(Unwatch, 7, 100)...),
		"bytes behind":              head(2, 1, append(open, 9)...),
		"of incarnation 0":          append(head(2, 1)[:9], append([]byte{0, 2, 1}, open...)...),
	} {
		if _, err := ParseBatch(entry); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
		if !panics(func() { New().Apply(1, entry) }) {
			t.Errorf("%q: the machine applied it", want)
		}
	}
}

// TestBatchThatNobodyCouldRead is the proposer's fault and panics there.
func TestBatchThatNobodyCouldRead(t *testing.T) {
	open := Command{Kind: Open}
	for name, b := range map[string]Batch{
		"empty":            {Peer: 1, Incarnation: 1, First: 2},
		"unknown kind":     {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{{Kind: 99}}},
		"two pushes":       {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{{Kind: Push}, {Kind: Push}}},
		"open unnumbered":  {Peer: 1, Incarnation: 1, Commands: []Command{open}},
		"open first":       {Peer: 1, Incarnation: 1, First: 1, Commands: []Command{open}},
		"late peer-up":     {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{open, {Kind: PeerUp}}},
		"no incarnation":   {Peer: 1, First: 2, Commands: []Command{open}},
		"negative grace":   {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{{Kind: Open, Grace: -1}}},
		"negative limit":   {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{{Kind: Watch, Limit: -2}}},
		"asked too soon":   {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{{Kind: Unwatch, Known: 1, Arrival: 2}}},
		"negative watches": {Peer: 1, Incarnation: 1, First: 2, Commands: []Command{{Kind: Watch, SessionWatches: -1}}},
	} {
		if !panics(func() { b.Append(nil) }) {
			t.Errorf("%s: no panic", name)
		}
	}
}

// TestLogGoesForward: an index comes once.
func TestLogGoesForward(t *testing.T) {
	up := batchOf(Command{Kind: PeerUp})
	m := New()
	m.Apply(3, up.Append(nil))
	m.Advance(2)
	if m.Applied() != 3 {
		t.Errorf("applied went back to %d", m.Applied())
	}
	m.Advance(5)
	for _, index := range []uint64{0, 3, 5} {
		if !panics(func() { m.Apply(index, up.Append(nil)) }) {
			t.Errorf("index %d was applied after 5", index)
		}
	}
}

// TestPushAllocatesAtMostFourTimes: the item with its origin, the list, the
// session and the output.
func TestPushAllocatesAtMostFourTimes(t *testing.T) {
	p := newBenchPeer()
	life := p.open(1)
	const runs = 2000
	var entries [][]byte
	for range runs + 1 {
		entries = append(entries, p.entry(benchPush(1, life, "/data/services/web")))
	}
	n := testing.AllocsPerRun(runs, func() {
		p.index++
		p.machine.Apply(p.index, entries[0])
		entries = entries[1:]
	})
	if n > 4 {
		t.Errorf("%.2f allocations", n)
	}
	l, _ := p.machine.List("/data/services/web")
	if l.Len() != runs+1 {
		t.Fatalf("%d items", l.Len())
	}
}

// TestReadingAllocatesNothing: a read costs no garbage, whether the list is
// there or not.
func TestReadingAllocatesNothing(t *testing.T) {
	p := newBenchPeer()
	p.fill(300, 1, p.open(1), "/data/a")
	sum := 0
	n := testing.AllocsPerRun(100, func() {
		l, _ := p.machine.List("/data/a")
		none, _ := p.machine.List("/data/never")
		sum += l.Len() + none.Len() + p.machine.Session(benchSession(1)).ItemCount()
	})
	if n > 0 || sum == 0 {
		t.Errorf("%.2f allocations, %d", n, sum)
	}
}

// TestMachineKeepsNoNamesOfTheEntry: what ParseBatch returns shares the entry, what the machine
// keeps does not but for an item's data.
func TestMachineKeepsNoNamesOfTheEntry(t *testing.T) {
	p := newBenchPeer()
	life := p.open(1)
	push := benchPush(1, life, "/data/a")
	push.Once = "key"
	entry := p.entry(push)
	p.index++
	p.machine.Apply(p.index, entry)
	watch := p.entry(Command{Kind: Watch, Session: benchSession(1), Life: life, Path: "/data/b", SessionWatches: 10})
	p.index++
	p.machine.Apply(p.index, watch)
	for i := range entry {
		entry[i] = 0
	}
	for i := range watch {
		watch[i] = 0
	}
	l, _ := p.machine.List("/data/a")
	if l.Len() != 1 || l.Head().Owner != "10.99.99.14" || l.Head().Data[0] != 0 {
		t.Errorf("%d items, %+v", l.Len(), l.Head())
	}
	s := p.machine.Session(benchSession(1))
	for held := range s.Items() {
		if held.Path != "/data/a" {
			t.Errorf("holds an item of %q", held.Path)
		}
	}
	if s.Watches()[0].Path != "/data/b" || s.uses()[0].key != "key" {
		t.Errorf("%+v %+v", s.Watches(), s.uses())
	}
	if err := p.machine.Check(); err != nil {
		t.Error(err)
	}
}

// FuzzBatch: what is accepted is written back byte for byte, and a machine
// can apply it.
func FuzzBatch(f *testing.F) {
	for _, c := range everyKind() {
		b := batchOf(c)
		f.Add(b.Append(nil))
		old := b.Append(nil)
		old[0] = 1
		f.Add(old)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		b, err := ParseBatch(entry)
		if err != nil {
			return
		}
		back := b.Append(nil)
		if now, err := ParseBatch(back); entry[0] < batchVersion && (err != nil || !reflect.DeepEqual(now, b)) {
			t.Fatalf("%x of an older version comes back as %+v, %v", entry, now, err)
		} else if entry[0] == batchVersion && !bytes.Equal(back, entry) {
			t.Fatalf("%x comes back as %x", entry, back)
		}
		// A machine for which the batch comes next.
		m := New()
		up := Batch{Peer: b.Peer, Incarnation: b.Incarnation, First: 1, Commands: []Command{{Kind: PeerUp}}}
		if b.First > 1 && b.First < 1<<62 {
			m.Apply(1, up.Append(nil))
			m.world.Load().peer(b.Peer).last.Store(b.First - 1)
		}
		index := uint64(2)
		for _, c := range b.Commands {
			if c.Life >= 2 && c.Life < 1<<62 {
				index = max(index, c.Life)
			}
		}
		out := m.Apply(index+1, entry)
		if !out.Skipped && len(out.Replies) != len(b.Commands) {
			t.Fatalf("%d replies to %d commands", len(out.Replies), len(b.Commands))
		}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
