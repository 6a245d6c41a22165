package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whichever bit is flipped, the store refuses to open and names the file, or holds all it held.
func TestEveryFlippedBit(t *testing.T) {
	path, _, whole := sample(t, memory(t))
	used := lastNonZero(whole) + 1
	refused := 0
	for bit := range len(whole) * 8 {
		if bit >= used*8 && bit%8 != bit/8%8 { // of the free space, one bit a byte
			continue
		}
		data := bytes.Clone(whole)
		data[bit/8] ^= 1 << (bit % 8)
		must(t, os.WriteFile(path, data, 0o600))
		s, err := Open(filepath.Dir(path), Options{SegmentBytes: minSegment})
		if err != nil {
			if refused++; !strings.Contains(err.Error(), path) {
				t.Fatalf("bit %d of byte %d: the file is not named: %v", bit%8, bit/8, err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, data) {
				t.Fatalf("bit %d of byte %d: refused and changed", bit%8, bit/8)
			}
			continue
		}
		must(t, check(s, 3, termsAfter...), holds(s, 1), s.Close())
	}
	if refused < used*7 { // the rest is padding, which means nothing
		t.Errorf("%d of %d flips were refused", refused, used*8)
	}
}

// A file that is cut short anywhere was never left so by a crash: segments have their full size before they are used.
func TestCutShort(t *testing.T) {
	path, _, whole := sample(t, memory(t))
	for n := range whole {
		must(t, os.WriteFile(path, whole[:n], 0o600))
		if _, err := Open(filepath.Dir(path), Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

// series makes six segments, of which each holds entries of the log, and returns them.
func series(t *testing.T, dir string) (files [][]byte, last uint64) {
	s, err := Open(dir, Options{SegmentBytes: minSegment})
	must(t, err)
	for len(s.log.segments) < 6 {
		last++
		must(t, s.StoreLog(entry(last, 1)))
	}
	must(t, s.Close())
	for n := range uint64(6) {
		b, err := os.ReadFile(segmentPath(dir, n+1))
		must(t, err)
		files = append(files, b)
	}
	return files, last
}

func TestFlippedBitInSeries(t *testing.T) {
	dir := memory(t)
	files, last := series(t, dir)
	for n, whole := range files {
		path := segmentPath(dir, uint64(n+1))
		for at := n; at < len(whole); at += 5 {
			data := bytes.Clone(whole)
			data[at] ^= 1 << (at / 5 % 8)
			must(t, os.WriteFile(path, data, 0o600))
			s, err := Open(dir, Options{SegmentBytes: minSegment})
			if err == nil {
				must(t, check(s, 1, terms(int(last), 1)...), s.Close())
			} else if !strings.Contains(err.Error(), path) {
				t.Fatalf("byte %d of %s: %v", at, path, err)
			}
		}
		must(t, os.WriteFile(path, whole, 0o600))
	}
}

func TestWrongFiles(t *testing.T) {
	dir := memory(t)
	files, last := series(t, dir)
	unsealed := bytes.Clone(files[4])
	clear(unsealed[lastNonZero(unsealed)/frameAlign*frameAlign-frameHeader:])
	foreign, _ := series(t, memory(t))
	newer := bytes.Clone(files[5])
	binary.LittleEndian.PutUint32(newer[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(newer[segmentHeader-4:], crc32.Checksum(newer[:segmentHeader-4], castagnoli))
	for _, c := range []struct {
		what string
		file uint64
		data []byte // nil: no file
		want string
	}{
		{"the oldest is gone", 1, nil, segmentPath(dir, 1)},
		{"one in the middle is gone", 3, nil, segmentPath(dir, 3)},
		{"the newest is gone", 6, nil, segmentPath(dir, 6)},
		{"one is empty", 3, []byte{}, segmentPath(dir, 3)},
		{"one is all zeros", 3, make([]byte, minSegment), segmentPath(dir, 3)},
		{"one is another one", 3, files[3], segmentPath(dir, 3)},
		{"one is of another log", 3, foreign[2], segmentPath(dir, 3)},
		{"one lost its seal", 5, unsealed, segmentPath(dir, 5)},
		{"one is of a newer format", 6, newer, "format version 2"},
		{"the newest lost all batches", 6, append(files[5][:segmentHeader:segmentHeader], make([]byte, minSegment-segmentHeader)...), segmentPath(dir, 6)},
	} {
		path := segmentPath(dir, c.file)
		must(t, os.Remove(path))
		if c.data != nil {
			must(t, os.WriteFile(path, c.data, 0o600))
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		must(t, os.WriteFile(path, files[c.file-1], 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "note.txt"), []byte("not ours"), 0o600))
	s := mustOpen(t, dir, Options{})
	must(t, check(s, 1, terms(int(last), 1)...))
}

// A batch that is taken out without a trace of damage is missed by its number.
func TestMissingBatch(t *testing.T) {
	path, _, whole := sample(t, memory(t))
	taken := 0
	for at := segmentHeader; taken < 6; taken++ {
		size := padded(frameHeader + int(binary.LittleEndian.Uint32(whole[at+4:])))
		without := append(append(bytes.Clone(whole[:at]), whole[at+size:]...), make([]byte, size)...)
		must(t, os.WriteFile(path, without, 0o600))
		if _, err := Open(filepath.Dir(path), Options{}); taken < 5 && (err == nil || !strings.Contains(err.Error(), path)) {
			t.Errorf("batch %d: %v", taken+1, err)
		}
		at += size
	}
}

// A flip under a running store is found by the read that meets it.
func TestFlipUnderReads(t *testing.T) {
	s := mustOpen(t, memory(t), Options{})
	must(t, s.StoreLogs(entries(1, 2*tailEntries, 1)))
	g, at, _ := s.log.find(7)
	b := make([]byte, 1)
	_, err := g.file.ReadAt(b, int64(at.offset)+50)
	must(t, err)
	_, err = g.file.WriteAt([]byte{b[0] ^ 16}, int64(at.offset)+50)
	must(t, err)
	l := entry(1, 1)
	if err := s.GetLog(7, l); err == nil || !strings.Contains(err.Error(), g.path) {
		t.Error("entry 7:", err)
	}
	must(t, s.GetLog(8, l))
}
