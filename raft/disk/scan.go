package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// scanned is what a walk over a segment found.
type scanned struct {
	end      int64  // of the last whole frame: what follows is free
	sequence uint64 // of the last whole frame
	frames   int
	sealed   bool
	torn     bool // behind end lies what a crash left of one frame, which nobody was told of
}

// scan walks over the frames of a segment, the first of which has the number sequence (any, if that is 0), and calls
// visit for every record of every whole frame, in order. Where the frames end it decides: zeros are the end; what a
// crash in the middle of one batch can leave is torn; all else is damage, and an error.
func scan(data []byte, seed uint32, sequence uint64, visit func(*record) error) (scanned, error) {
	got := scanned{end: segmentHeader}
	var r record
	for got.end+frameHeader <= int64(len(data)) {
		at := int(got.end)
		body, n, records, ok := parseFrame(data[at:], seed)
		if !ok {
			torn, err := tornHeader(data, at, seed)
			got.torn = torn
			return got, err
		}
		if n == 0 || (sequence != 0 && n != sequence) {
			return got, fmt.Errorf("byte %d: batch %d where batch %d was due", at, n, sequence)
		}
		if bad := firstBroken(data, at+frameHeader, body, records, seed); bad >= 0 {
			got.torn = true
			return got, tornBody(data, at, bad, padded(frameHeader+body), seed)
		}
		for p := at + frameHeader; p < at+frameHeader+body; p += r.size {
			parseRecord(data[p:at+frameHeader+body], seed, &r)
			r.at = p
			if err := visit(&r); err != nil {
				return got, fmt.Errorf("byte %d: %w", p, err)
			}
			got.sealed = got.sealed || r.kind == sealRecord
		}
		got.end += int64(padded(frameHeader + body))
		got.sequence, sequence = n, n+1
		got.frames++
		if got.sealed {
			return got, nil
		}
	}
	return got, nil
}

// firstBroken returns the offset of the first broken record of a body, or -1.
func firstBroken(data []byte, at, body int, records uint32, seed uint32) int {
	var r record
	end := at + body
	for p := at; ; p += r.size {
		if p == end && records == 0 {
			return -1
		}
		if records == 0 || !parseRecord(data[p:end], seed, &r) {
			return p
		}
		records--
	}
}

// tornHeader judges the bytes from a place where a frame could begin but none does. A crash leaves there either
// nothing at all, or the beginning of a frame and zeros behind it, or, when the disk wrote later sectors and not this
// one, zeros up to the end of the sector.
func tornHeader(data []byte, at int, seed uint32) (torn bool, err error) {
	last := lastNonZero(data[at:])
	if last < 0 {
		return false, nil
	}
	sector := min(at+sectorBytes-at%sectorBytes, len(data))
	prefix := last < frameHeader-1
	if !prefix && lastNonZero(data[at:sector]) >= 0 {
		return false, fmt.Errorf("byte %d: a batch was to begin here", at)
	}
	return true, nothingBehind(data, at, seed)
}

// tornBody judges a frame with a good header, of which the record at bad is broken. A crash leaves only the beginning
// of it with zeros behind, or leaves whole sectors out.
func tornBody(data []byte, at, bad, size int, seed uint32) error {
	torn := lastNonZero(data[at:]) < size-1
	for p := bad; p < at+size && !torn; {
		next := min(p+sectorBytes-p%sectorBytes, at+size)
		torn = lastNonZero(data[max(at, p-p%sectorBytes):next]) < 0
		p = next
	}
	if !torn {
		return fmt.Errorf("byte %d: a record does not match its checksum", bad)
	}
	return nothingBehind(data, at, seed)
}

// nothingBehind is an error if a later frame follows: it was written after this one had reached the disk.
func nothingBehind(data []byte, at int, seed uint32) error {
	for p := at + frameAlign; p+frameHeader <= len(data); p += frameAlign {
		if data[p] != frameMagic&0xFF {
			continue
		}
		if _, n, _, ok := parseFrame(data[p:], seed); ok {
			return fmt.Errorf("byte %d: broken, though batch %d follows at byte %d", at, n, p)
		}
	}
	return nil
}

// lastNonZero is the offset of the last byte that is not zero, or -1.
func lastNonZero(b []byte) int {
	for len(b) >= 8 && binary.LittleEndian.Uint64(b[len(b)-8:]) == 0 {
		b = b[:len(b)-8]
	}
	return len(bytes.TrimRight(b, "\x00")) - 1
}
