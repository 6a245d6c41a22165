package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"vera"
)

// windowSize is how many bytes of a snapshot are read and written at once.
const windowSize = 64 << 10

// intake feeds a decoder from a stream, a window at a time.
type intake struct {
	from   io.Reader
	window []byte // what was read; the decoder's rest is its end
	sum    uint32 // CRC-32C of all that the decoder took before this window
	err    error  // why there is no more: io.EOF or worse
}

// fill tries to have at least n bytes in rest. What a damaged length asks for
// is not allocated before it came.
func (in *intake) fill(rest []byte, n int) []byte {
	in.sum = crc32.Update(in.sum, castagnoli, in.window[:len(in.window)-len(rest)])
	in.window = append(in.window[:0], rest...)
	for len(in.window) < n && in.err == nil {
		in.window = slices.Grow(in.window, windowSize)
		var got int
		got, in.err = in.from.Read(in.window[len(in.window):cap(in.window)])
		in.window = in.window[:len(in.window)+got]
	}
	return in.window
}

// Restore replaces all that the machine holds by what a snapshot says. A
// damaged one is refused whole and changes nothing.
//
// Readers see either the old state with its index or the new one with its own;
// lists they hold stay as they are. Nobody is told of the changes: whoever
// follows outputs must be told that it missed some and read what it follows
// again. Diff works across a restore.
func (m *Machine) Restore(from io.Reader) error {
	w, err := load(from)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	m.world.Store(w)
	return nil
}

// load reads a snapshot and checks what it says.
func load(from io.Reader) (*world, error) {
	in := &intake{from: from}
	d := decoder{from: in}
	if magic := string(d.take(len(snapshotMagic))); d.err == nil && magic != snapshotMagic {
		d.fail("it does not begin with %s", snapshotMagic)
	}
	if d.version = d.byte(); d.err == nil && (d.version < 1 || d.version > snapshotVersion) {
		d.fail("its format has version %d; this is %d", d.version, snapshotVersion)
	}
	w := newWorld()
	w.applied.Store(d.varint())
	w.hash.Store(d.fixed())
	w.loadPeers(&d)
	held := w.loadSessions(&d)
	w.loadLists(&d, held)
	in.fill(d.rest, 5)
	want := in.sum
	if d.err == nil && (len(in.window) != 4 || binary.LittleEndian.Uint32(in.window) != want) {
		d.fail("its checksum is wrong")
	}
	if in.err != nil && !errors.Is(in.err, io.EOF) {
		return nil, in.err
	}
	if d.err != nil {
		return nil, d.err
	}
	for s, items := range held {
		w.settle(s, items)
	}
	return w, w.check()
}

func (w *world) loadPeers(d *decoder) {
	var peers []*peer
	for range d.countUp() {
		p := &peer{id: PeerID(d.fixed()), incarnation: d.varint()}
		p.last.Store(d.varint())
		p.gone = d.bool()
		peers = append(peers, p)
	}
	w.peers.Store(&peers)
}

// loadSessions returns for each session the items that it will turn out to hold.
func (w *world) loadSessions(d *decoder) map[*session][]holding {
	held := map[*session][]holding{}
	before := []byte{}
	for range d.countUp() {
		f := &facts{}
		copy(f.id[:], d.take(len(f.id)))
		if d.err == nil && len(held) > 0 && bytes.Compare(before, f.id[:]) >= 0 {
			d.fail("session %s is out of order", f.id)
		}
		before = f.id[:]
		f.life, f.since, f.doubt = d.varint(), d.varint(), d.grace()
		for range d.countUp() {
			f.attachments = append(f.attachments, Attachment{PeerID(d.fixed()), d.varint(), d.grace()})
		}
		for range d.countUp() {
			f.watches = append(f.watches, vera.Watched{Path: vera.Path(d.own()), Limit: d.count() + vera.NoLimit, Items: d.bool()})
		}
		if d.version > 1 {
			for range d.countUp() {
				f.orders = append(f.orders, order{vera.Path(d.own()), d.varint()})
			}
		}
		s := &session{next: &Session{facts: f}}
		for range d.countUp() {
			s.remember(s.next, use{d.own(), d.varint(), d.fixed()})
		}
		if s.next.once != nil && s.next.once.n > vera.OnceKeys {
			d.fail("session %s remembers more than %d keys", f.id, vera.OnceKeys)
		}
		w.sessions.Store(f.id, s)
		w.sessionCount.Add(1)
		w.watchCount.Add(int64(len(f.watches)))
		held[s] = nil
	}
	return held
}

func (w *world) loadLists(d *decoder, held map[*session][]holding) {
	before := vera.Path("")
	for range d.countUp() {
		h := &holder{path: vera.Path(d.own())}
		if d.err == nil && w.listCount.Load() > 0 && before >= h.path {
			d.fail("list %q is out of order", h.path)
		}
		before = h.path
		l := &List{changed: d.varint()}
		for range d.countUp() {
			first := &firstState{origin: vera.Origin{Version: d.varint()}}
			copy(first.origin.Session[:], d.take(len(first.origin.Session)))
			s := w.session(first.origin.Session)
			if s == nil {
				d.fail("an item of %s has no session", h.path)
				return
			}
			first.origin.Life = s.next.facts.life
			first.origin.Owner = s.ownerOf(d.text())
			first.item = vera.Item{Origin: &first.origin, Updated: d.varint(), Data: bytes.Clone(d.bytes())}
			l.items = l.items.add(slot{&first.item})
			held[s] = append(held[s], holding{h.path, first.origin.Version})
		}
		h.cur.Store(l)
		w.lists.Store(h.path, h)
		w.listCount.Add(1)
		w.itemCount.Add(int64(l.Len()))
	}
}

// settle gives a session the items that its lists named.
func (w *world) settle(s *session, items []holding) {
	slices.SortFunc(items, func(a, b holding) int { return cmp.Compare(a.Version, b.Version) })
	for _, h := range items {
		s.next.items = s.next.items.add(h)
	}
	s.cur.Store(s.next)
	s.next = nil
}

// countUp yields as many times as a count says, unless reading fails.
func (d *decoder) countUp() func(yield func() bool) {
	return func(yield func() bool) {
		for n := d.count(); n > 0 && d.err == nil; n-- {
			if !yield() {
				return
			}
		}
	}
}

// own is text that does not share the window's bytes.
func (d *decoder) own() string { return strings.Clone(d.text()) }
