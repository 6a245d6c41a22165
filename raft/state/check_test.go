package state

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"vera"
)

// house is a machine small enough to break one thing in it.
func house(t *testing.T) *transcript {
	s := newTranscript(t)
	for line := range strings.SplitSeq(`p: peer-up
q: peer-up
p: open s grace=1s; open t
q: attach s grace=2s
p: watch s /data/a arrival=3; watch s /data/b arrival=3
p: push s /data/a {"n":1} once=k
p: push t /data/a {"n":2} once=k
p: push s /data/a {"n":3} once=l
p: push s /data/b {}
p: update s /data/a version=6 {"n":4}
q: detach s grace=3s`, "\n") {
		s.line(line)
	}
	if err := s.machine.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

// A breach makes an invariant untrue.
type breach func(w *world)

func listOf(w *world) *List   { return w.now("/data/a") }
func factsOf(w *world) *facts { return w.session(vera.SessionID{'s'}).cur.Load().facts }

// breachesOfLists are those of the invariants 1 to 5, in their order.
func breachesOfLists() [][]breach {
	return [][]breach{
		{ // 1
			func(w *world) { listOf(w).changed = 99 },
			func(w *world) { listOf(w).changed = 8 },
			func(w *world) { listOf(w).items.tail[0].Updated = 6 },
			func(w *world) { listOf(w).items.tail[1].Version = 6 },
			func(w *world) { listOf(w).items.tail[2].Reason = vera.Closed },
		},
		{ // 2
			func(w *world) { listOf(w).prev.Store(empty) },
			func(w *world) { listOf(w).items = sequence[slot]{} },
		},
		{ // 3
			func(w *world) { listOf(w).items.n++ },
			func(w *world) { listOf(w).items.spine = []*[]slot{{}} },
			func(w *world) {
				tail := listOf(w).items.tail
				listOf(w).items.spine, listOf(w).items.tail = []*[]slot{ptr(tail[:1]), ptr(tail[1:2])}, tail[2:]
			},
		},
		{ // 4
			func(w *world) { listOf(w).items.tail[0].Session[1]++ },
			func(w *world) { listOf(w).items.tail[0].Life-- },
			func(w *world) { w.session(vera.SessionID{'t'}).cur.Load().facts.life = 8 },
		},
		{ // 5
			func(w *world) { listOf(w).items = listOf(w).items.without([]uint64{8}, nil); w.itemCount.Add(-1) },
			func(w *world) {
				items := &w.session(vera.SessionID{'s'}).cur.Load().items
				*items = items.without([]uint64{8}, nil)
			},
			func(w *world) { listOf(w).items.tail[2].Session[0] = 't' },
		},
	}
}

// breachesOfSessions are those of the invariants 6 to 13.
func breachesOfSessions() [][]breach {
	return [][]breach{
		{func(w *world) { f := factsOf(w); f.attachments, f.since, f.doubt = nil, 0, 0 }}, // 6
		{ // 7
			func(w *world) { factsOf(w).since = 0 },
			func(w *world) { factsOf(w).doubt = 0 },
			func(w *world) { factsOf(w).since = 99 },
			func(w *world) { factsOf(w).since = 2 },
			func(w *world) {
				w.session(vera.SessionID{'t'}).cur.Load().facts.life = 0
				listOf(w).items.tail[1].Life = 0
			},
		},
		{ // 8
			func(w *world) { factsOf(w).attachments[0].Incarnation++ },
			func(w *world) { factsOf(w).attachments[0].Peer = 'r' },
			func(w *world) { factsOf(w).attachments[0].Grace = -1 },
			func(w *world) { f := factsOf(w); f.attachments = append(f.attachments, f.attachments[0]) },
			func(w *world) { w.peer('p').gone = true },
		},
		{ // 9
			func(w *world) { factsOf(w).watches[0].Path = "/data/c" },
			func(w *world) { factsOf(w).watches[0].Limit = -2 },
			func(w *world) { factsOf(w).orders[0].arrival = 0 },
			func(w *world) { factsOf(w).orders[0].path = "/data/c" },
			func(w *world) {
				f := factsOf(w)
				f.orders = nil
				for i := range leftPaths + 1 {
					f.orders = append(f.orders, order{vera.Path(fmt.Sprintf("/data/%02d", i)), 1})
				}
			},
		},
		{ // 10
			func(w *world) { w.session(vera.SessionID{'s'}).seen["m"] = use{} },
			func(w *world) { delete(w.session(vera.SessionID{'s'}).seen, "k") },
			func(w *world) { w.session(vera.SessionID{'s'}).seen["k"] = use{"k", 7, 0} },
		},
		{ // 11
			func(w *world) { w.peer('p').incarnation = 0; factsOf(w).attachments = factsOf(w).attachments[:0] },
			func(w *world) { w.peer('q').last.Store(0) },
			func(w *world) { peers := *w.peers.Load(); peers[0], peers[1] = peers[1], peers[0] },
		},
		{ // 12
			func(w *world) { w.sessionCount.Add(1) },
			func(w *world) { w.itemCount.Add(1) },
			func(w *world) { w.listCount.Add(-1) },
			func(w *world) { w.watchCount.Add(1) },
		},
		{ // 13
			func(w *world) { w.leaving = make([]departure, 1) },
			func(w *world) { w.edited = make([]*session, 1) },
			func(w *world) { w.draft(w.session(vera.SessionID{'s'})); w.edited = nil },
			func(w *world) { h, _ := w.list("/data/b"); h.path = "/data/c" },
		},
	}
}

// TestCheckFindsWhatIsBroken breaks each invariant in some ways.
func TestCheckFindsWhatIsBroken(t *testing.T) {
	breaches := append(breachesOfLists(), breachesOfSessions()...)
	text := readDoc(t)
	for i, ways := range breaches {
		number := i + 1
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^//  %d\. `, number)).MatchString(text) {
			t.Errorf("doc.go has no invariant %d", number)
		}
		for way, breach := range ways {
			s := house(t)
			breach(s.machine.world.Load())
			if err := s.machine.Check(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("invariant %d ", number)) {
				t.Errorf("invariant %d, broken in way %d: %v", number, way, err)
			}
		}
	}
	if strings.Contains(text, fmt.Sprintf("//  %d. ", len(breaches)+1)) {
		t.Errorf("doc.go has an invariant that is not broken here")
	}
}

// now is the newest state of a list.
func (w *world) now(p vera.Path) *List {
	_, l := w.list(p)
	return l
}

func ptr[T any](v T) *T { return &v }

// TestSameLogSameState: two machines that read the same log, one of them from
// a snapshot on, say and are the same.
func TestSameLogSameState(t *testing.T) {
	h := newHistory(31, 6_000, 5)
	first, second := New(), New()
	var outputs []Output
	h.replay(first, func(out Output) {
		outputs = append(outputs, out)
		if out.Index%1000 == 0 {
			if err := second.Restore(bytes.NewReader(snapshotOf(t, first))); err != nil {
				t.Fatal(err)
			}
		}
	})
	from := second.Applied()
	if from == 0 {
		t.Fatal("no snapshot was taken")
	}
	for _, want := range outputs {
		if want.Index <= from {
			continue
		}
		out := second.Apply(want.Index, h.entries[want.Index])
		if told(out) != told(want) || !reflect.DeepEqual(out.Sessions, want.Sessions) {
			t.Fatalf("entry %d says\n%s\nnot\n%s", want.Index, told(out), told(want))
		}
	}
	first.Advance(h.last)
	second.Advance(h.last)
	if !bytes.Equal(snapshotOf(t, first), snapshotOf(t, second)) || first.Hash() != second.Hash() {
		t.Error("the machines differ in the end")
	}
}

// TestHashTellsLogsApart: by the entries, their indexes and their order, also
// where the state is the same in the end.
func TestHashTellsLogsApart(t *testing.T) {
	up := func(grace time.Duration) []byte {
		b := Batch{Peer: 1, Incarnation: 1, First: 1, Commands: []Command{{Kind: PeerUp, Grace: grace}}}
		return b.Append(nil)
	}
	type entry struct {
		index uint64
		data  []byte
	}
	hashes := map[uint64]int{New().Hash(): -1}
	for i, log := range [][]entry{
		{{1, up(0)}},
		{{2, up(0)}},
		{{1, up(time.Second)}},
		{{1, up(0)}, {2, up(0)}}, // the second is skipped
		{{1, up(0)}, {2, up(time.Second)}},
		{{1, up(time.Second)}, {2, up(0)}},
	} {
		m := New()
		for _, e := range log {
			m.Apply(e.index, e.data)
			m.Advance(e.index) // counts for nothing
		}
		if other, twice := hashes[m.Hash()]; twice {
			t.Errorf("logs %d and %d have the same hash", i, other)
		}
		hashes[m.Hash()] = i
	}
	sums := map[uint64][]byte{}
	for _, data := range [][]byte{nil, {0}, {0, 0}, make([]byte, 7), make([]byte, 8), make([]byte, 9), make([]byte, 16), {1}, {0, 1}} {
		if other, twice := sums[mix(0, data)]; twice {
			t.Errorf("%x and %x have the same sum", data, other)
		}
		sums[mix(0, data)] = data
	}
}

// told is an output as text.
func told(out Output) string {
	text := fmt.Sprintf("%d %x %d %d %d %v\n", out.Index, out.Hash, out.Peer, out.Incarnation, out.First, out.Skipped)
	for _, r := range out.Replies {
		text += fmt.Sprintf("%s %q %d %d %d %v ", r.Code, r.Message, r.Index, r.Version, r.Life, r.Resumed)
		if r.List != nil {
			text += fmt.Sprint(r.List.ETag(), showList(r.List))
		}
		text += "\n"
	}
	for _, c := range out.Changes {
		text += fmt.Sprintf("%s %d %d %s\n", c.Path, c.Before.ETag(), c.After.ETag(), showDiff(c))
	}
	return text
}
