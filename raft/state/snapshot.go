package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"vera"
)

// snapshotMagic begins every snapshot; the byte behind it is the version of
// the format. One of version 1 is read as well: it has no orders of watches.
const (
	snapshotMagic   = "VERASNAP"
	snapshotVersion = 2
)

// castagnoli is CRC-32C (RFC 3720, appendix B.4).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Image is a machine as it was at one index. It shares what it holds with the
// machine, which may go on meanwhile.
type Image struct {
	index    uint64
	hash     uint64
	peers    []Peer
	sessions []*Session
	lists    []named
}

// named is a list and its path.
type named struct {
	path vera.Path
	list *List
}

// Snapshot captures the machine. It costs a pointer a list and a session, no
// item is copied.
func (m *Machine) Snapshot() *Image { return m.world.Load().snapshot(m.Peers()) }

func (w *world) snapshot(peers []Peer) *Image {
	i := &Image{index: w.applied.Load(), hash: w.hash.Load(), peers: peers}
	i.sessions = make([]*Session, 0, w.sessionCount.Load())
	i.lists = make([]named, 0, w.listCount.Load())
	w.sessions.Range(func(_, v any) bool {
		i.sessions = append(i.sessions, v.(*session).cur.Load())
		return true
	})
	w.lists.Range(func(path, v any) bool {
		if l := v.(*holder).cur.Load(); l.Len() > 0 {
			i.lists = append(i.lists, named{path.(vera.Path), l})
		}
		return true
	})
	return i
}

// Index is the index that was applied when the image was taken.
func (i *Image) Index() uint64 { return i.index }

// Hash is the rolling hash at that index.
func (i *Image) Hash() uint64 { return i.hash }

// Rise makes the image one of a later index, at which every list changed: so
// nothing that is made from it gives a version or an etag that anybody was
// given between the two. It panics when the index is not above the image's.
func (i *Image) Rise(index uint64) {
	if index <= i.index {
		panic(fmt.Sprintf("an image of %d cannot rise to %d", i.index, index))
	}
	i.index, i.hash = index, mixIndex(i.hash, index)
	for n := range i.lists {
		i.lists[n].list = &List{items: i.lists[n].list.items, changed: index}
	}
}

// WriteTo writes the snapshot and returns how many bytes it has. The same
// state gives the same bytes. It must be called once at a time.
//
// The format: the magic and a byte with the version; the index, the rolling
// hash, then peers, sessions in the order of their ids and lists in the order
// of their paths, each group preceded by its count; CRC-32C of all that, 4
// bytes. Numbers are varints as in a batch, peers and hashes 8 bytes, all
// little-endian; an item's life is its session's.
func (i *Image) WriteTo(to io.Writer) (int64, error) {
	slices.SortFunc(i.sessions, func(a, b *Session) int { return bytes.Compare(a.facts.id[:], b.facts.id[:]) })
	slices.SortFunc(i.lists, func(a, b named) int { return strings.Compare(string(a.path), string(b.path)) })
	o := &outlet{to: to}
	o.buf = append(append(o.buf, snapshotMagic...), snapshotVersion)
	o.buf = binary.AppendUvarint(o.buf, i.index)
	o.buf = binary.LittleEndian.AppendUint64(o.buf, i.hash)
	o.buf = binary.AppendUvarint(o.buf, uint64(len(i.peers)))
	for _, p := range i.peers {
		o.buf = binary.LittleEndian.AppendUint64(o.buf, uint64(p.Peer))
		o.buf = binary.AppendUvarint(o.buf, p.Incarnation)
		o.buf = binary.AppendUvarint(o.buf, p.Sequence)
		o.buf = appendBool(o.buf, p.Gone)
	}
	o.buf = binary.AppendUvarint(o.buf, uint64(len(i.sessions)))
	for _, s := range i.sessions {
		o.session(s)
	}
	o.buf = binary.AppendUvarint(o.buf, uint64(len(i.lists)))
	for _, n := range i.lists {
		o.list(n)
	}
	o.flush()
	o.buf = binary.LittleEndian.AppendUint32(o.buf, o.sum)
	o.flush()
	return o.written, o.err
}

// outlet is the way of a snapshot's bytes. After the first error nothing more
// is written.
type outlet struct {
	to      io.Writer
	buf     []byte
	sum     uint32 // CRC-32C of what left
	written int64
	err     error
}

func (o *outlet) flush() {
	if o.err == nil {
		var n int
		n, o.err = o.to.Write(o.buf)
		o.written += int64(n)
	}
	o.sum = crc32.Update(o.sum, castagnoli, o.buf)
	o.buf = o.buf[:0]
}

// settle flushes when there is enough for a write.
func (o *outlet) settle() {
	if len(o.buf) >= windowSize {
		o.flush()
	}
}

func (o *outlet) session(s *Session) {
	f := s.facts
	b := append(o.buf, f.id[:]...)
	b = binary.AppendUvarint(b, f.life)
	b = binary.AppendUvarint(b, f.since)
	b = appendGrace(b, f.doubt)
	b = binary.AppendUvarint(b, uint64(len(f.attachments)))
	for _, a := range f.attachments {
		b = binary.LittleEndian.AppendUint64(b, uint64(a.Peer))
		b = binary.AppendUvarint(b, a.Incarnation)
		b = appendGrace(b, a.Grace)
	}
	b = binary.AppendUvarint(b, uint64(len(f.watches)))
	for _, w := range f.watches {
		b = appendText(b, w.Path)
		b = appendCount(b, w.Limit-vera.NoLimit)
		b = appendBool(b, w.Items)
	}
	b = binary.AppendUvarint(b, uint64(len(f.orders)))
	for _, r := range f.orders {
		b = appendText(b, r.path)
		b = binary.AppendUvarint(b, r.arrival)
	}
	uses := s.uses()
	b = binary.AppendUvarint(b, uint64(len(uses)))
	for _, u := range uses {
		b = appendText(b, u.key)
		b = binary.AppendUvarint(b, u.push)
		b = binary.LittleEndian.AppendUint64(b, u.sum)
	}
	o.buf = b
	o.settle()
}

func (o *outlet) list(n named) {
	o.buf = appendText(o.buf, n.path)
	o.buf = binary.AppendUvarint(o.buf, n.list.changed)
	o.buf = binary.AppendUvarint(o.buf, uint64(n.list.Len()))
	for it := range n.list.All() {
		b := binary.AppendUvarint(o.buf, it.Version)
		b = append(b, it.Session[:]...)
		b = appendText(b, it.Owner)
		b = binary.AppendUvarint(b, it.Updated)
		o.buf = appendText(b, it.Data)
		o.settle()
	}
}
