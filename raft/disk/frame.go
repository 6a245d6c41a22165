package disk

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	hraft "github.com/hashicorp/raft"
)

// Sizes in bytes of what a segment is made of; doc.go draws it.
const (
	sectorBytes  = 512 // what a disk writes whole or not at all
	frameAlign   = 32  // divides a sector, so no frame header lies in two
	frameHeader  = 32
	recordHeader = 16
	entryHeader  = 40
	rangeRecord  = 32
	sealFrame    = frameHeader + frameAlign // a record header and its padding
)

const (
	frameMagic = 0x46726556 // "VerF"
	frameMark  = 0xA5A5A5A5 // ends a frame header
	padding    = 0xA5       // ends a frame: its last byte is never zero
)

// kind is what a record says.
type kind byte

const (
	entryRecord kind = iota + 1 // one log entry
	keepRecord                  // the log is cut down to first..last
	stateRecord                 // the log is first..last as a segment begins
	setRecord                   // one value of the stable store
	sealRecord                  // the segment is full, the next one exists
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is one decoded record. Its slices point into the bytes it was decoded from.
type record struct {
	kind        kind
	first, last uint64    // keepRecord, stateRecord
	entry       hraft.Log // entryRecord
	name, value []byte    // setRecord
	at, size    int       // where it lies in the bytes that were scanned
}

// frame is a batch being encoded: one write, one fdatasync. Its buffer is used again.
type frame struct {
	buf     []byte
	records uint32
	seed    uint32
}

// reset starts an empty frame for a segment whose checksums start from seed.
func (f *frame) reset(seed uint32) {
	if cap(f.buf) > 2*maxFrame {
		f.buf = nil
	}
	f.buf = append(f.buf[:0], make([]byte, frameHeader)...)
	f.records, f.seed = 0, seed
}

// grow adds n bytes and returns them; what they held before is left in them.
func (f *frame) grow(n int) []byte {
	at := len(f.buf)
	if at+n > cap(f.buf) {
		f.buf = append(f.buf, make([]byte, n)...)
	}
	f.buf = f.buf[:at+n]
	return f.buf[at : at+n : at+n]
}

// header fills in what record b begins with, its checksum last.
func (f *frame) header(b []byte, k kind, typ byte, extra int) {
	le := binary.LittleEndian
	le.PutUint32(b[4:], uint32(len(b)))
	b[8], b[9], b[10], b[11] = byte(k), typ, 0, 0
	le.PutUint32(b[12:], uint32(extra))
	le.PutUint32(b, crc32.Update(f.seed, castagnoli, b[4:]))
	f.records++
}

func entryBytes(l *hraft.Log) int { return entryHeader + len(l.Data) + len(l.Extensions) }

// entry adds a log entry and returns where in the frame it lies.
func (f *frame) entry(l *hraft.Log) loc {
	at := len(f.buf)
	b := f.grow(entryBytes(l))
	le := binary.LittleEndian
	le.PutUint64(b[16:], l.Index)
	le.PutUint64(b[24:], l.Term)
	le.PutUint64(b[32:], nanos(l.AppendedAt))
	copy(b[entryHeader+copy(b[entryHeader:], l.Data):], l.Extensions)
	f.header(b, entryRecord, byte(l.Type), len(l.Extensions))
	return loc{offset: uint32(at), size: uint32(len(b))}
}

func (f *frame) bounds(k kind, first, last uint64) {
	b := f.grow(rangeRecord)
	binary.LittleEndian.PutUint64(b[16:], first)
	binary.LittleEndian.PutUint64(b[24:], last)
	f.header(b, k, 0, 0)
}

func (f *frame) set(name string, value []byte) {
	b := f.grow(recordHeader + len(name) + len(value))
	copy(b[recordHeader+copy(b[recordHeader:], name):], value)
	f.header(b, setRecord, 0, len(name))
}

func (f *frame) seal() { f.header(f.grow(recordHeader), sealRecord, 0, 0) }

// finish pads the frame, writes its header and returns its bytes, good until the next reset.
func (f *frame) finish(sequence uint64) []byte {
	body := len(f.buf) - frameHeader
	pad := f.grow(padded(len(f.buf)) - len(f.buf))
	for i := range pad {
		pad[i] = padding
	}
	le := binary.LittleEndian
	le.PutUint32(f.buf, frameMagic)
	le.PutUint32(f.buf[4:], uint32(body))
	le.PutUint64(f.buf[8:], sequence)
	le.PutUint32(f.buf[16:], f.records)
	le.PutUint32(f.buf[20:], 0)
	le.PutUint32(f.buf[24:], crc32.Update(f.seed, castagnoli, f.buf[:24]))
	le.PutUint32(f.buf[28:], frameMark)
	return f.buf
}

// padded is the size of a frame that is n bytes before its padding, which is 1 to 32 bytes long.
func padded(n int) int { return (n/frameAlign + 1) * frameAlign }

// parseFrame reads a frame header. ok is false for one that was never written whole.
func parseFrame(b []byte, seed uint32) (body int, sequence uint64, records uint32, ok bool) {
	le := binary.LittleEndian
	if len(b) < frameHeader || le.Uint32(b) != frameMagic || le.Uint32(b[28:]) != frameMark ||
		le.Uint32(b[24:]) != crc32.Update(seed, castagnoli, b[:24]) {
		return 0, 0, 0, false
	}
	n := le.Uint32(b[4:])
	if uint64(n) > uint64(len(b)) || padded(frameHeader+int(n)) > len(b) {
		return 0, 0, 0, false
	}
	return int(n), le.Uint64(b[8:]), le.Uint32(b[16:]), true
}

// parseRecord reads the record that b begins with into r. Its answer is false, and r of no use, for any damage.
func parseRecord(b []byte, seed uint32, r *record) bool {
	le := binary.LittleEndian
	if len(b) < recordHeader {
		return false
	}
	n := le.Uint32(b[4:])
	if n < recordHeader || uint64(n) > uint64(len(b)) || le.Uint32(b) != crc32.Update(seed, castagnoli, b[4:n]) {
		return false
	}
	b = b[:n:n]
	extra := uint64(le.Uint32(b[12:]))
	*r = record{kind: kind(b[8]), size: int(n)}
	switch r.kind {
	case entryRecord:
		if entryHeader+extra > uint64(n) {
			return false
		}
		data := b[entryHeader : uint64(n)-extra : uint64(n)-extra]
		r.entry = hraft.Log{
			Index: le.Uint64(b[16:]), Term: le.Uint64(b[24:]), Type: hraft.LogType(b[9]), AppendedAt: moment(le.Uint64(b[32:])),
		}
		if len(data) > 0 {
			r.entry.Data = data
		}
		if extra > 0 {
			r.entry.Extensions = b[uint64(n)-extra:]
		}
		return true
	case keepRecord, stateRecord:
		if n != rangeRecord {
			return false
		}
		r.first, r.last = le.Uint64(b[16:]), le.Uint64(b[24:])
		return true
	case setRecord:
		if recordHeader+extra > uint64(n) {
			return false
		}
		r.name, r.value = b[recordHeader:recordHeader+extra], b[recordHeader+extra:]
		return true
	case sealRecord:
		return n == recordHeader
	}
	return false
}

// nanos is a moment as it is stored: nanoseconds since 1970, or the least number for no moment at all.
func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 1 << 63
	}
	return uint64(t.UnixNano())
}

func moment(n uint64) time.Time {
	if int64(n) == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}
