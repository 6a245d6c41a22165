package disk

import (
	"bytes"
	"os"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
)

// FuzzScan changes a segment: what the scan then accepts is a beginning of what was stored, and behind it there is
// nothing, or it says that something was torn.
func FuzzScan(f *testing.F) {
	path, _, _ := sample(f, memory(f))
	whole, err := os.ReadFile(path)
	must(f, err)
	h, err := parseHeader(whole)
	must(f, err)
	stored := collect(f, whole, h.seed())
	f.Add(whole[segmentHeader:], uint16(0), []byte(nil))
	f.Add([]byte(nil), uint16(800), make([]byte, 600))
	f.Fuzz(func(t *testing.T, raw []byte, at uint16, change []byte) {
		data := bytes.Clone(whole)
		if len(raw) > 0 {
			data = append(data[:segmentHeader], raw...)
		}
		if int(at) < len(data) {
			copy(data[at:], change)
		}
		n := 0
		got, err := scan(data, h.seed(), 0, func(r *record) error {
			if n < len(stored) && !bytes.Equal(data[r.at:r.at+r.size], stored[n]) {
				t.Fatalf("record %d at byte %d was never stored", n, r.at)
			}
			n++
			return nil
		})
		if n > len(stored) {
			t.Fatalf("%d records of %d", n, len(stored))
		}
		if got.end < segmentHeader || got.end > int64(max(segmentHeader, len(data))) {
			t.Fatalf("end at %d of %d", got.end, len(data))
		}
		if err == nil && !got.torn && lastNonZero(data[min(got.end, int64(len(data))):]) >= 0 && len(data)-int(got.end) >= frameHeader {
			t.Fatalf("bytes behind %d were passed over", got.end)
		}
	})
}

// collect returns the bytes of all records of a segment.
func collect(t testing.TB, data []byte, seed uint32) (all [][]byte) {
	_, err := scan(data, seed, 0, func(r *record) error {
		all = append(all, bytes.Clone(data[r.at:r.at+r.size]))
		return nil
	})
	must(t, err)
	return all
}

// FuzzRecord decodes any bytes, made to match their checksum, and encodes what it understood.
func FuzzRecord(f *testing.F) {
	var fr frame
	fr.reset(7)
	fr.entry(entry(15, 3))
	fr.bounds(keepRecord, 3, 9)
	fr.set("name", []byte("value"))
	fr.seal()
	for b := fr.finish(1)[frameHeader:]; ; {
		var r record
		if !parseRecord(b, 7, &r) {
			break
		}
		f.Add(b[:r.size])
		b = b[r.size:]
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		parseRecord(b, 7, &r)
		if len(b) < recordHeader {
			return
		}
		var again frame
		again.reset(7)
		again.buf = append(again.buf, b...)
		b = again.buf[frameHeader:]
		again.header(b, kind(b[8]), b[9], int(uint32(b[12])|uint32(b[13])<<8|uint32(b[14])<<16|uint32(b[15])<<24))
		if !parseRecord(b, 7, &r) {
			return
		}
		again.reset(7)
		switch r.kind {
		case entryRecord:
			again.entry(&r.entry)
		case keepRecord, stateRecord:
			again.bounds(r.kind, r.first, r.last)
		case setRecord:
			again.set(string(r.name), r.value)
		case sealRecord:
			again.seal()
		}
		if r.kind <= setRecord && len(again.buf) != frameHeader+len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(again.buf)-frameHeader)
		}
		var r2 record
		if !parseRecord(again.buf[frameHeader:], 7, &r2) || !same(&r.entry, &r2.entry) || r.first != r2.first ||
			r.last != r2.last || !bytes.Equal(r.name, r2.name) || !bytes.Equal(r.value, r2.value) {
			t.Fatalf("%+v became %+v", r, r2)
		}
	})
}

func TestEntryFields(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(0, -1), time.Now()} {
		want := hraft.Log{Index: 1<<64 - 1, Term: 1 << 63, Type: 255, Data: make([]byte, 999), AppendedAt: at}
		var f frame
		f.reset(1)
		f.entry(&want)
		var r record
		if !parseRecord(f.finish(1)[frameHeader:], 1, &r) || !same(&r.entry, &want) {
			t.Errorf("%v: %+v", at, r.entry)
		}
	}
}
