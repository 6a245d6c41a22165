package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"vera"
)

// header is a batch without its commands.
type header struct {
	peer        PeerID
	incarnation uint64
	first       uint64
	count       int
}

// check says what is wrong with the batch as a whole.
func (h header) check() error {
	switch {
	case h.count == 0:
		return errors.New("a batch without commands")
	case h.first != 0 && h.incarnation == 0:
		return errors.New("a numbered batch of incarnation 0")
	case h.first > math.MaxUint64-uint64(h.count):
		return errors.New("a batch whose numbers overflow")
	}
	return nil
}

// admits says what is wrong with a command of that kind at place i.
func (h header) admits(i int, k Kind) error {
	switch {
	case k&Skippable == 0 && (k < Push || k > PeerGone):
		return fmt.Errorf("the kind %d is unknown and does not say that it may be skipped", k)
	case k.Alone() && h.count > 1:
		return errors.New("it must travel alone")
	case h.first == 0 && k != Expire && k != PeerGone:
		return errors.New("it must be numbered")
	case h.first != 0 && k == PeerGone:
		return errors.New("it must not be numbered")
	case (k == PeerUp) != (h.first == 1 && i == 0):
		return fmt.Errorf("its number is %d; peer-up and nothing else has the number 1", h.first+uint64(i))
	}
	return nil
}

// ParseBatch reads what Batch.Append wrote. It is strict: an error names the
// command that is malformed, and nothing may follow the last one. Strings and
// data of the commands share the bytes of data, which must not change.
func ParseBatch(data []byte) (Batch, error) {
	d := decoder{rest: data}
	h := d.header()
	b := Batch{Peer: h.peer, Incarnation: h.incarnation, First: h.first}
	for i := 0; i < h.count && d.err == nil; i++ {
		b.Commands = append(b.Commands, Command{})
		d.command(h, i, &b.Commands[i])
	}
	if err := d.end(); err != nil {
		return Batch{}, err
	}
	return b, nil
}

// decoder reads an entry or, with an intake, a snapshot. After the first error
// it returns zeros.
type decoder struct {
	rest    []byte
	from    *intake // nil: rest is all there is
	version byte    // of the format
	err     error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
		d.rest, d.from = nil, nil
	}
}

func (d *decoder) end() error {
	if len(d.rest) > 0 {
		d.fail("%d bytes behind the last command", len(d.rest))
	}
	return d.err
}

func (d *decoder) header() header {
	if d.version = d.byte(); d.version < 1 || d.version > batchVersion {
		d.fail("a batch of version %d; this is %d", d.version, batchVersion)
	}
	h := header{peer: PeerID(d.fixed()), incarnation: d.varint(), first: d.varint(), count: d.count()}
	if h.count > len(d.rest) {
		d.fail("%d commands in %d bytes", h.count, len(d.rest))
	}
	if d.err == nil {
		d.err = h.check()
	}
	if d.err != nil {
		h.count = 0
	}
	return h
}

// command reads the command at place i into c.
func (d *decoder) command(h header, i int, c *Command) {
	*c = Command{Kind: Kind(d.byte())}
	if d.err == nil {
		d.err = h.admits(i, c.Kind)
	}
	if c.Kind&Skippable != 0 {
		c.Data = d.bytes()
	} else if d.err == nil {
		d.fields(c)
	}
	if d.err != nil {
		d.err = fmt.Errorf("command %d, %s: %w", i, c.Kind, d.err)
		d.rest = nil
	}
}

// fields reads what stands behind the kind.
func (d *decoder) fields(c *Command) {
	switch c.Kind {
	case PeerUp:
		c.Grace = d.grace()
		return
	case PeerGone:
		c.Peer, c.Incarnation, c.Grace = PeerID(d.fixed()), d.varint(), d.grace()
		return
	}
	copy(c.Session[:], d.take(len(c.Session)))
	if c.Kind == Open {
		c.Grace = d.grace()
		return
	}
	c.Life = d.varint()
	switch c.Kind {
	case Push, Update, Remove:
		d.item(c)
	case Watch:
		c.Path = vera.Path(d.text())
		c.Limit = d.count() + vera.NoLimit
		c.Items = d.bool()
		c.SessionWatches = d.count()
		d.order(c)
	case Unwatch:
		c.Path = vera.Path(d.text())
		d.order(c)
	case Attach:
		c.Grace = d.grace()
	case Detach:
		c.Grace, c.Clean = d.grace(), d.bool()
	case End:
		c.Reason = vera.Reason(d.byte())
		if c.Reason != vera.Closed && c.Reason != vera.Ended {
			d.fail("the reason %d is neither closed nor ended", c.Reason)
		}
	case Expire:
		c.Since = d.varint()
	}
}

// order reads how Watch and Unwatch end.
func (d *decoder) order(c *Command) {
	if d.version == 1 {
		c.Known = KnowsAll
		return
	}
	if c.Known, c.Arrival = d.varint(), d.varint(); c.Arrival > c.Known {
		d.fail("its connection arrived at %d, and it asked at %d", c.Arrival, c.Known)
	}
}

// item reads what Push, Update and Remove say behind the life.
func (d *decoder) item(c *Command) {
	c.Path = vera.Path(d.text())
	if c.Conditional = d.bool(); c.Conditional {
		c.IfMatch = d.varint()
	}
	if c.Kind != Push {
		c.Version = d.varint()
	}
	if c.Kind == Push {
		c.Owner, c.Once = d.text(), d.text()
		c.SessionItems, c.ListItems = d.count(), d.count()
	}
	if c.Kind != Remove {
		c.Data = d.bytes()
	}
}

// need tries to have n bytes in rest.
func (d *decoder) need(n int) {
	if d.from != nil && len(d.rest) < n {
		d.rest = d.from.fill(d.rest, n)
	}
}

func (d *decoder) take(n int) []byte {
	d.need(n)
	if n > len(d.rest) {
		d.fail("ends in the middle of a field")
		return nil
	}
	taken := d.rest[:n:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) fixed() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) varint() uint64 {
	d.need(binary.MaxVarintLen64)
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 {
		d.fail("a number that is cut short, too large or longer than it must be")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number that must fit an int.
func (d *decoder) count() int {
	v := d.varint()
	if v > math.MaxInt {
		d.fail("the number %d is too large", v)
		return 0
	}
	return int(v)
}

func (d *decoder) bytes() []byte { return d.take(d.count()) }

// text returns a string that shares the entry's bytes. They are never written
// again, and whoever keeps the string longer than the entry clones it.
func (d *decoder) text() string {
	b := d.bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (d *decoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.fail("%d is neither 0 nor 1", b)
	}
	return b == 1
}

func (d *decoder) grace() time.Duration {
	ms := d.varint()
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		d.fail("a grace of %d ms is too long", ms)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}
