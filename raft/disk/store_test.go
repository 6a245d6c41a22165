package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, s.dir, s.options)
}

// entry is an entry whose every field follows from index and term.
func entry(i, term uint64) *hraft.Log {
	l := &hraft.Log{Index: i, Term: term, Type: hraft.LogType(i % 6), Data: fmt.Appendf(nil, "command %d of term %d", i, term)}
	if i%3 == 0 {
		l.Extensions = fmt.Appendf(nil, "extension %d", i)
	}
	if i%5 != 0 {
		l.AppendedAt = time.Unix(int64(i), int64(term))
	}
	return l
}

func entries(from, to, term uint64) (logs []*hraft.Log) {
	for i := from; i <= to; i++ {
		logs = append(logs, entry(i, term))
	}
	return logs
}

func same(a, b *hraft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

// check compares the log with terms: the term of each entry from first on.
func check(s *Store, first uint64, terms ...uint64) error {
	last := first + uint64(len(terms)) - 1
	if len(terms) == 0 {
		first, last = 0, 0
	}
	a, err := s.FirstIndex()
	b, err2 := s.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if a != first || b != last {
		return fmt.Errorf("the log is %d to %d, not %d to %d", a, b, first, last)
	}
	var l hraft.Log
	for i, term := range terms {
		if err := s.GetLog(first+uint64(i), &l); err != nil {
			return err
		}
		if want := entry(first+uint64(i), term); !same(&l, want) {
			return fmt.Errorf("entry %+v is not %+v", l, want)
		}
	}
	for _, i := range []uint64{0, first - 1, last + 1, last + 5000} {
		if err := s.GetLog(i, &l); !errors.Is(err, hraft.ErrLogNotFound) {
			return fmt.Errorf("entry %d, of a log that is %d to %d: %v", i, first, last, err)
		}
	}
	return nil
}

func terms(n int, term uint64) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = term
	}
	return all
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := mustOpen(t, dir, Options{})
	must(t, check(s, 0))
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		dir   string
		bytes int64
		want  string
	}{{file, 0, file}, {file + "/x", 0, file}, {dir, 4095, "SegmentBytes"}, {dir, 1<<30 + 1, "SegmentBytes"}} {
		if _, err := Open(c.dir, Options{SegmentBytes: c.bytes}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestDeleteRangeIsDurable(t *testing.T) {
	for _, bytes := range []int64{minSegment, 64 << 10} {
		s := mustOpen(t, t.TempDir(), Options{SegmentBytes: bytes})
		must(t, s.StoreLogs(entries(1, 300, 1)), s.DeleteRange(1, 99))
		must(t, check(s, 100, terms(201, 1)...))
		s = reopen(t, s)
		must(t, check(s, 100, terms(201, 1)...))
		must(t, s.DeleteRange(151, 300), check(s, 100, terms(51, 1)...))
		s = reopen(t, s)
		must(t, check(s, 100, terms(51, 1)...), s.StoreLogs(entries(151, 260, 2)))
		want := append(terms(51, 1), terms(110, 2)...)
		s = reopen(t, s)
		must(t, check(s, 100, want...))
		if err := s.DeleteRange(101, 259); err == nil || !strings.Contains(err.Error(), "middle") {
			t.Error("a hole was allowed:", err)
		}
		must(t, s.DeleteRange(1, 99), s.DeleteRange(261, 400), s.DeleteRange(7, 6), check(s, 100, want...))
		must(t, s.DeleteRange(0, 1<<62), check(s, 0))
		s = reopen(t, s)
		must(t, check(s, 0), s.StoreLogs(entries(77, 80, 3)), check(s, 77, 3, 3, 3, 3))
		s = reopen(t, s)
		must(t, check(s, 77, 3, 3, 3, 3))
	}
}

func TestDeletedSegmentsGo(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{SegmentBytes: minSegment})
	for i := range uint64(100) {
		must(t, s.StoreLogs(entries(i*20+1, i*20+20, 1)))
		if i >= 5 {
			must(t, s.DeleteRange(1, i*20-80))
		}
	}
	files, err := os.ReadDir(s.dir)
	must(t, err)
	if len(files) > 5 { // 100 entries of about 80 bytes, the next file, and one that is half deleted
		t.Errorf("%d files for 100 entries", len(files))
	}
}

func TestGapStartsAnew(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{SegmentBytes: minSegment})
	must(t, s.StoreLogs(entries(1, 90, 1)), s.StoreLogs(entries(200, 203, 2)), check(s, 200, 2, 2, 2, 2))
	s = reopen(t, s)
	must(t, check(s, 200, 2, 2, 2, 2))
}

func TestRefusalsChangeNothing(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{SegmentBytes: minSegment})
	must(t, s.StoreLogs(entries(5, 8, 1)), s.StoreLogs(nil))
	large := entry(9, 1)
	large.Data = make([]byte, s.MaxEntry()+1-len(large.Extensions))
	for _, logs := range [][]*hraft.Log{
		entries(8, 9, 1), entries(1, 1, 1), {entry(0, 1)}, {entry(9, 1), entry(11, 1)}, {entry(9, 1), entry(9, 1)}, {large},
	} {
		if err := s.StoreLogs(logs); err == nil {
			t.Errorf("entry %d was stored", logs[0].Index)
		}
	}
	if err := s.Set([]byte("large"), make([]byte, 1024)); err == nil {
		t.Error("a large value was stored")
	}
	must(t, check(s, 5, 1, 1, 1, 1))
	large.Data = large.Data[1:]
	must(t, s.StoreLog(large))
	s = reopen(t, s)
	var l hraft.Log
	must(t, s.GetLog(9, &l))
	if !same(&l, large) {
		t.Error("the largest entry came back different")
	}
}

func TestLargeBatch(t *testing.T) {
	var synced int
	s := mustOpen(t, t.TempDir(), Options{Synced: func(_ time.Duration, n int) { synced += n }})
	logs := entries(1, 200, 1)
	for _, l := range logs {
		l.Data = bytes.Repeat([]byte{'x', byte(l.Index)}, 1<<16)
	}
	must(t, s.StoreLogs(logs))
	if synced != len(logs) {
		t.Errorf("%d entries were made durable", synced)
	}
	if n := s.tail.bytes; n > tailBytes {
		t.Errorf("%d bytes in memory", n)
	}
	s = reopen(t, s)
	for _, want := range logs {
		var l hraft.Log
		must(t, s.GetLog(want.Index, &l))
		if !same(&l, want) {
			t.Fatalf("entry %d came back different", want.Index)
		}
	}
}

func TestStable(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{SegmentBytes: minSegment})
	v, err := s.Get([]byte("none"))
	n, err2 := s.GetUint64([]byte("none"))
	if v != nil || n != 0 || err != nil || err2 != nil {
		t.Error(v, n, err, err2)
	}
	for i := range uint64(200) {
		must(t, s.SetUint64([]byte("term"), i), s.Set([]byte("vote"), fmt.Append(nil, "the peer ", i)), s.Set([]byte("empty"), nil))
	}
	for range 2 {
		n, err := s.GetUint64([]byte("term"))
		v, err2 := s.Get([]byte("vote"))
		if n != 199 || string(v) != "the peer 199" || err != nil || err2 != nil {
			t.Error(n, v, err, err2)
		}
		if n, err := s.GetUint64([]byte("vote")); err == nil {
			t.Error("a name is a number:", n)
		}
		s = reopen(t, s)
	}
	must(t, s.Close())
	must(t, s.Close())
	if err := s.SetUint64([]byte("term"), 1); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	must(t, check(s, 0))
}

func TestBusy(t *testing.T) {
	inside := make(chan struct{})
	release := make(chan struct{})
	hang := false
	s := mustOpen(t, t.TempDir(), Options{Synced: func(time.Duration, int) {
		if hang {
			close(inside)
			<-release
		}
	}})
	if s.Busy() != 0 {
		t.Error("busy at rest")
	}
	hang = true
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.StoreLogs(entries(1, 1, 1)); err != nil {
			t.Error(err)
		}
	})
	<-inside
	a := s.Busy()
	b := s.Busy()
	if a <= 0 || b < a {
		t.Error("not busy during a write:", a, b)
	}
	must(t, check(s, 0)) // reads go on
	close(release)
	wg.Wait()
	if s.Busy() != 0 {
		t.Error("busy after the write")
	}
}

// A file that is deleted and closed while it is about to be read is as if it had gone before.
func TestReadOfClosedFile(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	must(t, s.StoreLogs(entries(1, tailEntries+1, 1)), s.last().file.Close())
	if err := s.GetLog(1, entry(1, 1)); !errors.Is(err, hraft.ErrLogNotFound) {
		t.Error(err)
	}
	s.log.segments = nil // Close has nothing left to close
}

func TestReadersBesideWriter(t *testing.T) {
	s := mustOpen(t, memory(t), Options{SegmentBytes: minSegment})
	over := make(chan struct{})
	var wg sync.WaitGroup
	for n := range uint64(3) {
		wg.Go(func() {
			for i := n; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				first, _ := s.FirstIndex()
				last, _ := s.LastIndex()
				var l hraft.Log
				at := first + i%min(150, max(first, last)-first+1) // these are read from the disk
				err := s.GetLog(at, &l)
				if err != nil && !errors.Is(err, hraft.ErrLogNotFound) || err == nil && !same(&l, entry(at, l.Term)) {
					t.Error(at, l, err)
					return
				}
			}
		})
	}
	next, term := uint64(1), uint64(1)
	for i := range uint64(300) {
		must(t, s.StoreLogs(entries(next, next+30, term)))
		next += 31
		switch {
		case i%10 == 9:
			must(t, s.DeleteRange(1, next-1200))
		case i%7 == 6:
			must(t, s.DeleteRange(next-20, next))
			next -= 20
			term++
		}
	}
	close(over)
	wg.Wait()
}
