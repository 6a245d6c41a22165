package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"vera"
)

func snapshotOf(t testing.TB, m *Machine) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// furnished is a machine that has some of everything.
func furnished(t testing.TB, seed uint64, entries int) *Machine {
	m := newModel()
	machine, c := New(), newChance(seed, m, 10)
	for index := uint64(1); index <= uint64(entries); index++ {
		b := c.batch()
		m.apply(index, b)
		machine.Apply(index, b.Append(nil))
	}
	if n := machine.Counts(); n.Items == 0 || n.Sessions == 0 || n.Watches == 0 {
		t.Fatalf("seed %d leaves %+v", seed, n)
	}
	return machine
}

// TestDamagedSnapshotIsRefusedWhole: any bit flipped, any byte missing or too
// many. The machine stays what it was.
func TestDamagedSnapshotIsRefusedWhole(t *testing.T) {
	good := snapshotOf(t, furnished(t, 1, 300))
	m := furnished(t, 2, 400)
	was, hash := snapshotOf(t, m), m.Hash()
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if err := m.Restore(bytes.NewReader(b)); err == nil {
			t.Fatalf("%s at %d of %d: accepted", what, at, len(good))
		}
	}
	for i := range good {
		refused("cut", i, good[:i])
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(good)
			b[i] ^= bit
			refused("flipped", i, b)
		}
	}
	refused("one more", len(good), append(bytes.Clone(good), 0))
	broken := errors.New("the disk broke")
	if err := m.Restore(io.MultiReader(bytes.NewReader(good[:50]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a broken disk is told as %v", err)
	}
	if !bytes.Equal(snapshotOf(t, m), was) || m.Hash() != hash {
		t.Error("a refused snapshot changed the machine")
	}
	if err := m.Restore(iotest.OneByteReader(bytes.NewReader(good))); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(snapshotOf(t, m), good) {
		t.Error("the good snapshot is not what the machine is now")
	}
}

// summed gives a snapshot without its sum one that fits.
func summed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
}

// TestSnapshotThatLies has a good sum and says what cannot be.
func TestSnapshotThatLies(t *testing.T) {
	head := binary.AppendUvarint([]byte(snapshotMagic+"\x02"), 9) // applied
	head = append(head, make([]byte, 8)...)                       // hash
	peer := []byte{1, 5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0}            // one: 5, incarnation 1, number 1
	id := bytes.Repeat([]byte{7}, 16)
	session := func(rest ...byte) []byte { return append(append([]byte{1}, id...), rest...) }
	attached := append([]byte{2, 0, 0, 1}, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0) // life 2, on peer 5, no watch, no order, no key
	item := func(version byte) []byte { return append(append([]byte{version}, id...), 0, 0, 0) }
	list := func(changed, count byte, items ...[]byte) []byte {
		return append([]byte{1, 2, '/', 'a', changed, count}, bytes.Join(items, nil)...)
	}
	good := [][]byte{head, peer, session(attached...), list(8, 1, item(8))}
	if err := New().Restore(bytes.NewReader(summed(bytes.Join(good, nil)))); err != nil {
		t.Fatal(err)
	}
	for want, parts := range map[string][][]byte{
		"invariant 1 is broken: item 8":           {head, peer, session(attached...), list(7, 1, item(8))},
		"invariant 1 is broken: version 4 stands": {head, peer, session(attached...), list(8, 2, item(5), item(4))},
		"invariant 1 is broken: /a changed at 10": {head, peer, session(attached...), list(10, 1, item(8))},
		"invariant 2":                          {head, peer, session(attached...), list(8, 0)},
		"has no session":                       {head, peer, {0}, list(8, 1, item(8))},
		"invariant 4":                          {head, peer, session(attached...), list(8, 1, item(2))},
		"invariant 6":                          {head, peer, session(2, 0, 0, 0, 0, 0, 0), {0}},
		"invariant 7 is broken: it was opened": {head, peer, session(append([]byte{12}, attached[1:]...)...), {0}},
		"invariant 7 is broken: it is missed":  {head, peer, session(2, 3, 0, 0, 0, 0, 0), {0}},
		"invariant 8":                          {head, {0}, session(attached...), {0}},
		"invariant 9":                          {head, peer, session(append(attached[:15:15], 1, 2, '/', 'a', 0, 0)...), {0}},
		"invariant 10":                         {head, peer, session(append(attached[:16:16], 1, 1, 'k', 2, 0, 0, 0, 0, 0, 0, 0, 0)...), {0}},
		"invariant 11":                         {head, {1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, {0}, {0}},
		"out of order":                         {head, peer, append([]byte{2}, bytes.Repeat(session(attached...)[1:], 2)...), {0}},
		"too large":                            {head, {255, 255, 255, 255, 255, 255, 255, 255, 255, 1}},
		"middle of a field":                    {head, peer, session(attached...), {1, 255, 255, 255, 127}},
		"its format has version 3":             {[]byte(snapshotMagic + "\x03")},
		"its format has version 0":             {[]byte(snapshotMagic + "\x00")},
		"it does not begin with":               {[]byte("SOMETHING else")},
	} {
		if err := New().Restore(bytes.NewReader(summed(bytes.Join(parts, nil)))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestImageIsOfItsIndex: what is applied while the image is being written does
// not show in it, and it takes no copy of the items.
func TestImageIsOfItsIndex(t *testing.T) {
	m := newModel()
	machine, c := New(), newChance(3, m, 50)
	index := uint64(0)
	apply := func(n int) {
		for range n {
			index++
			b := c.batch()
			m.apply(index, b)
			machine.Apply(index, b.Append(nil))
		}
	}
	for range 20 {
		apply(150)
		want := snapshotOf(t, machine)
		image := machine.Snapshot()
		at := image.Index()
		got := make(chan []byte)
		go func() {
			var b bytes.Buffer
			if _, err := image.WriteTo(&b); err != nil {
				t.Error(err)
			}
			got <- b.Bytes()
		}()
		apply(150)
		if b := <-got; !bytes.Equal(b, want) {
			t.Fatalf("the image of %d shows something later", at)
		}
	}
}

// TestImageCopiesNoItems: an image costs the same however much is on the lists.
func TestImageCopiesNoItems(t *testing.T) {
	p := newBenchPeer()
	life := p.open(1)
	p.fill(10, 1, life, "/data/a")
	few := testing.AllocsPerRun(10, func() { p.machine.Snapshot() })
	p.fill(50_000, 1, life, "/data/a")
	if many := testing.AllocsPerRun(10, func() { p.machine.Snapshot() }); many > few {
		t.Errorf("%.0f allocations instead of %.0f", many, few)
	}
}

// TestSnapshotWriteFails: the first error comes back.
func TestSnapshotWriteFails(t *testing.T) {
	image := furnished(t, 4, 300).Snapshot()
	full := errors.New("the disk is full")
	if _, err := image.WriteTo(failing{full}); !errors.Is(err, full) {
		t.Errorf("a full disk is told as %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestRestoreMovesReadersToItsIndex: lists that vanish read as empty, at the
// snapshot's index, and what a reader holds stays. A snapshot may be older.
func TestRestoreMovesReadersToItsIndex(t *testing.T) {
	older := newBenchPeer()
	life := older.open(1)
	older.fill(3, 1, life, "/data/old")
	b := snapshotOf(t, older.machine)

	p := newBenchPeer()
	life = p.open(2)
	p.fill(700, 2, life, "/data/new")
	held, _ := p.machine.List("/data/new")
	session := p.machine.Session(benchSession(2))
	if err := p.machine.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	l, index := p.machine.List("/data/new")
	if l.Len() != 0 || index != older.index || p.machine.Session(benchSession(2)) != nil {
		t.Errorf("%d items at %d", l.Len(), index)
	}
	if l, index = p.machine.List("/data/old"); l.Len() != 3 || index != older.index {
		t.Errorf("%d items at %d", l.Len(), index)
	}
	n := 0
	for range held.All() {
		n++
	}
	if n != 700 || session.ItemCount() != 700 {
		t.Errorf("what was held has %d items now", n)
	}
	// A difference over a restore: the same items are other objects now.
	again := New()
	if err := again.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	same, _ := again.List("/data/old")
	if added, updated, removed := Diff(l, same, vera.NoLimit); len(added)+len(updated)+len(removed) > 0 {
		t.Errorf("a restore looks like a change: %d %d %d", len(added), len(updated), len(removed))
	}
}

// FuzzRestore: a snapshot with a good sum is refused, or it is exactly what
// the machine writes afterwards, and the machine goes on from there.
func FuzzRestore(f *testing.F) {
	for seed := range uint64(4) {
		b := snapshotOf(f, furnished(f, seed+1, 60+40*int(seed)))
		f.Add(b[:len(b)-4])
		b[len(snapshotMagic)] = 1
		f.Add(b[:len(b)-4])
	}
	empty := snapshotOf(f, New())
	f.Add(empty[:len(empty)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := summed(body)
		m := New()
		if m.Restore(bytes.NewReader(b)) != nil {
			return
		}
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		if b[len(snapshotMagic)] == snapshotVersion && !bytes.Equal(snapshotOf(t, m), b) {
			t.Fatal("accepted, and written back as something else")
		}
		if m.Applied() > 1<<62 {
			return
		}
		up := Batch{Peer: 3, Incarnation: 1 << 62, First: 1, Commands: []Command{{Kind: PeerUp, Grace: time.Second}}}
		m.Apply(m.Applied()+1, up.Append(nil))
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
