package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	hraft "github.com/hashicorp/raft"
)

// pebbleStore is candidate (a): a thin log and stable store on Pebble.
type pebbleStore struct {
	db          *pebble.DB
	first, last atomic.Uint64
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func openPebble(dir string) (*pebbleStore, error) {
	cache := pebble.NewCache(8 << 20)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{
		Cache: cache, Logger: quiet{}, MemTableSize: 16 << 20, FormatMajorVersion: pebble.FormatNewest,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24,
	})
	if err != nil {
		return nil, err
	}
	s := &pebbleStore{db: db}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("l"), UpperBound: []byte("m")})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if it.First() {
		s.first.Store(binary.BigEndian.Uint64(it.Key()[1:]))
	}
	if it.Last() {
		s.last.Store(binary.BigEndian.Uint64(it.Key()[1:]))
	}
	if err := it.Close(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *pebbleStore) Close() error                { return s.db.Close() }
func (s *pebbleStore) FirstIndex() (uint64, error) { return s.first.Load(), nil }
func (s *pebbleStore) LastIndex() (uint64, error)  { return s.last.Load(), nil }
func (s *pebbleStore) IsMonotonic() bool           { return true }

func logName(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{'l'}, index)
}

func (s *pebbleStore) GetLog(index uint64, l *hraft.Log) error {
	v, c, err := s.db.Get(logName(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return hraft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	defer c.Close()
	n := binary.LittleEndian.Uint32(v[17:])
	*l = hraft.Log{Index: index, Term: binary.LittleEndian.Uint64(v), Type: hraft.LogType(v[16])}
	if at := int64(binary.LittleEndian.Uint64(v[8:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	rest := append([]byte(nil), v[21:]...)
	l.Extensions, l.Data = rest[:n:n], rest[n:]
	return nil
}

func (s *pebbleStore) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

func (s *pebbleStore) StoreLogs(logs []*hraft.Log) error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, l := range logs {
		op := b.SetDeferred(9, 21+len(l.Extensions)+len(l.Data))
		op.Key[0] = 'l'
		binary.BigEndian.PutUint64(op.Key[1:], l.Index)
		v := op.Value
		binary.LittleEndian.PutUint64(v, l.Term)
		at := int64(0)
		if !l.AppendedAt.IsZero() {
			at = l.AppendedAt.UnixNano()
		}
		binary.LittleEndian.PutUint64(v[8:], uint64(at))
		v[16] = byte(l.Type)
		binary.LittleEndian.PutUint32(v[17:], uint32(len(l.Extensions)))
		copy(v[21+copy(v[21:], l.Extensions):], l.Data)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return err
	}
	if s.first.Load() == 0 {
		s.first.Store(logs[0].Index)
	}
	s.last.Store(logs[len(logs)-1].Index)
	return nil
}

func (s *pebbleStore) DeleteRange(lo, hi uint64) error {
	if err := s.db.DeleteRange(logName(lo), logName(hi+1), pebble.Sync); err != nil {
		return err
	}
	if lo <= s.first.Load() {
		s.first.Store(hi + 1)
	}
	if hi >= s.last.Load() {
		s.last.Store(lo - 1)
	}
	if s.first.Load() > s.last.Load() {
		s.first.Store(0)
		s.last.Store(0)
	}
	return nil
}

func (s *pebbleStore) Set(k, v []byte) error {
	return s.db.Set(append([]byte{'s'}, k...), v, pebble.Sync)
}

func (s *pebbleStore) Get(k []byte) ([]byte, error) {
	v, c, err := s.db.Get(append([]byte{'s'}, k...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return append([]byte(nil), v...), nil
}

func (s *pebbleStore) SetUint64(k []byte, v uint64) error {
	return s.Set(k, binary.BigEndian.AppendUint64(nil, v))
}

func (s *pebbleStore) GetUint64(k []byte) (uint64, error) {
	v, err := s.Get(k)
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}
