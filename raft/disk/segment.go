package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	hraft "github.com/hashicorp/raft"
)

const (
	segmentMagic  = "vera-log"
	formatVersion = 1
	segmentHeader = sectorBytes
	segmentName   = "%020d.log"
	unfinished    = "next.tmp" // a segment being made
	zeroBytes     = 256 << 10  // written at once when a segment is made
)

// segment is one file of the log. Its locs are the run of entries that it holds; the log's mutex guards both.
type segment struct {
	number uint64
	path   string
	file   *os.File
	size   int64
	seed   uint32 // the checksums in this file start from it
	first  uint64
	locs   []loc
}

// trim drops the entries outside first..last from the run.
func (s *segment) trim(first, last uint64) {
	if len(s.locs) == 0 {
		return
	}
	end := s.first + uint64(len(s.locs)) // of the run, exclusive
	lo, hi := max(first, s.first), min(last+1, end)
	if last == 0 || lo >= hi {
		s.first, s.locs = 0, nil
		return
	}
	s.first, s.locs = lo, s.locs[lo-s.first:hi-s.first]
}

// read returns entry i from its place, checked against its checksum. The entry owns its bytes.
func (s *segment) read(i uint64, at loc, l *hraft.Log) error {
	b := make([]byte, at.size)
	if _, err := s.file.ReadAt(b, int64(at.offset)); err != nil {
		return err
	}
	var r record
	if !parseRecord(b, s.seed, &r) || r.kind != entryRecord || r.entry.Index != i {
		return damaged(s.path, int64(at.offset), "the entry does not match its checksum")
	}
	*l = r.entry
	return nil
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf(segmentName, number))
}

// damaged is the error for what no crash leaves behind.
func damaged(path string, at int64, what string) error {
	return fmt.Errorf("log file %s is damaged at byte %d: %s", path, at, what)
}

// header is the first sector of a segment.
type header struct {
	number uint64
	size   int64
	log    uint64 // drawn by lot for a log, the same in all its segments
}

// seed is where the checksums of the segment start. No client can guess it and push bytes that look like a batch.
func (h header) seed() uint32 {
	le := binary.LittleEndian
	return crc32.Checksum(le.AppendUint64(le.AppendUint64(nil, h.log), h.number), castagnoli)
}

func (h header) encode() []byte {
	b := make([]byte, segmentHeader)
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], h.number)
	le.PutUint64(b[24:], uint64(h.size))
	le.PutUint64(b[32:], h.log)
	le.PutUint32(b[segmentHeader-4:], crc32.Checksum(b[:segmentHeader-4], castagnoli))
	return b
}

func parseHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < segmentHeader:
		return header{}, fmt.Errorf("%d bytes are too few for a segment", len(b))
	case string(b[:8]) != segmentMagic:
		return header{}, errors.New("it does not begin as a segment does")
	case le.Uint32(b[segmentHeader-4:]) != crc32.Checksum(b[:segmentHeader-4], castagnoli):
		return header{}, errors.New("the segment header does not match its checksum")
	case le.Uint32(b[8:]) != formatVersion:
		return header{}, fmt.Errorf("format version %d; this program reads version %d", le.Uint32(b[8:]), formatVersion)
	}
	return header{number: le.Uint64(b[16:]), size: int64(le.Uint64(b[24:])), log: le.Uint64(b[32:])}, nil
}

// blank makes a file of zeros in dir, on the disk, that is to become a segment. Zeros that were written, and not only
// promised by the file system, let a batch reach the disk without any change to the file's metadata, and a full disk
// shows here and not in the middle of a segment.
func blank(dir string, size int64) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, unfinished), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(zero(f, 0, size), f.Sync()); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// zero writes zeros from one offset to another, and syncs them piece by piece: a batch in another file, that is being
// synced meanwhile, waits for one piece at most.
func zero(f *os.File, from, to int64) error {
	zeros := make([]byte, min(zeroBytes, max(to-from, 0)))
	for from < to {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
		if err := syncData(f); err != nil {
			return err
		}
	}
	return nil
}

// start turns a blank file into segment number: behind its header, the first batch says how the store stands. It
// returns where that ends.
func (s *Store) start(f *os.File, number, sequence uint64) (*segment, int64, error) {
	h := header{number: number, size: s.options.SegmentBytes, log: s.id}
	g := &segment{number: number, path: segmentPath(s.dir, number), file: f, size: h.size, seed: h.seed()}
	s.frame.reset(g.seed)
	s.frame.bounds(stateRecord, s.log.first, s.log.last)
	for name, value := range s.stable {
		s.frame.set(name, value)
	}
	b := append(h.encode(), s.frame.finish(sequence)...)
	if _, err := f.WriteAt(b, 0); err != nil {
		return nil, 0, err
	}
	if err := f.Sync(); err != nil {
		return nil, 0, err
	}
	if err := os.Rename(f.Name(), g.path); err != nil {
		return nil, 0, err
	}
	return g, int64(len(b)), syncDir(s.dir)
}

// open opens a segment and reads all of it, into buf if that is large enough.
func open(path string, number uint64, buf []byte) (g *segment, h header, data []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, h, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, h, nil, err
	}
	first := make([]byte, min(segmentHeader, info.Size()))
	if _, err := io.ReadFull(f, first); err != nil {
		return nil, h, nil, err
	}
	h, err = parseHeader(first)
	switch {
	case err != nil:
		return nil, h, nil, damaged(path, 0, err.Error())
	case h.number != number:
		return nil, h, nil, damaged(path, 0, fmt.Sprintf("it is segment %d", h.number))
	case h.size != info.Size() || h.size > maxSegment:
		return nil, h, nil, damaged(path, min(info.Size(), h.size), fmt.Sprintf("%d bytes, made with %d", info.Size(), h.size))
	}
	data = buf[:min(int64(cap(buf)), h.size)]
	if int64(len(data)) < h.size {
		data = make([]byte, h.size)
	}
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, h, nil, err
	}
	return &segment{number: number, path: path, file: f, size: h.size, seed: h.seed()}, h, data, nil
}

// syncDir makes names that were added to a directory, or taken from it, durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
