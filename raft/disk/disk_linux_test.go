package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// resident is the process's resident memory in KB.
func resident(t testing.TB) int {
	b, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	must(t, err)
	return n
}

// A full disk refuses writes, loses nothing, and lets the store be opened; more room, and it goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skip("A FULL DISK IS NOT TESTED: it takes root to mount a small tmpfs:", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	s := mustOpen(t, filepath.Join(dir, "log"), Options{SegmentBytes: 64 << 10})
	var err error
	var last uint64
	for err == nil && last < 100_000 {
		if err = s.StoreLogs(entries(last+1, last+7, 1)); err == nil {
			last += 7
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d entries: %v", last, err)
	}
	if err := s.SetUint64([]byte("term"), 1); !errors.Is(err, syscall.ENOSPC) {
		t.Error("a later write:", err)
	}
	stored, err := s.LastIndex() // of the batch that failed, a part may be there
	must(t, err)
	if stored < last || stored > last+6 {
		t.Fatalf("%d entries were acknowledged, %d are there", last, stored)
	}
	last = stored
	must(t, check(s, 1, terms(int(last), 1)...))
	s = reopen(t, s)
	must(t, check(s, 1, terms(int(last), 1)...))
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=2m"))
	must(t, s.StoreLogs(entries(last+1, last+700, 1)), check(s, 1, terms(int(last)+700, 1)...))
	s = reopen(t, s)
	must(t, check(s, 1, terms(int(last)+700, 1)...))
}

// The first failure stays: whatever the disk would say to a second try.
func TestPoisoned(t *testing.T) {
	for _, c := range []struct {
		device string // what the writes go to: /dev/full fails a write, /dev/null a sync
		want   error
	}{{"/dev/full", syscall.ENOSPC}, {"/dev/null", syscall.EINVAL}} {
		var told []error
		s := mustOpen(t, t.TempDir(), Options{Failed: func(err error) { told = append(told, err) }})
		must(t, s.StoreLogs(entries(1, 3, 1)))
		broken, err := os.OpenFile(c.device, os.O_RDWR, 0)
		must(t, err)
		good := s.last().file
		s.last().file = broken
		if err := s.StoreLogs(entries(4, 6, 1)); !errors.Is(err, c.want) {
			t.Fatalf("%s: %v", c.device, err)
		}
		s.last().file = good
		must(t, broken.Close())
		for _, err := range []error{s.StoreLogs(entries(4, 6, 1)), s.StoreLogs(nil), s.DeleteRange(1, 2), s.SetUint64([]byte("a"), 1)} {
			if !errors.Is(err, c.want) {
				t.Errorf("%s: a later write: %v", c.device, err)
			}
		}
		if len(told) != 1 || !errors.Is(told[0], c.want) {
			t.Error("told of", told)
		}
		must(t, check(s, 1, 1, 1, 1))
		s = reopen(t, s)
		must(t, check(s, 1, 1, 1, 1), s.StoreLogs(entries(4, 6, 1)))
	}
}

// BenchmarkMemory tells what 80,000 entries of 100 bytes cost: resident memory and bytes of files.
func BenchmarkMemory(b *testing.B) {
	s := benchStore(b)
	before := resident(b)
	i := 1
	for b.Loop() {
		for range 160 {
			if err := s.StoreLogs(batch(i, 500)); err != nil {
				b.Fatal(err)
			}
			i += 500
		}
	}
	b.ReportMetric(float64(resident(b)-before)/float64(b.N), "KB/op")
	files, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		b.Fatal(err)
	}
	var size int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	b.ReportMetric(float64(size>>10)/float64(b.N), "file-KB/op")
}

// BenchmarkSync is why a segment is filled with zeros before it is used: 4 KiB written and synced into three kinds of file.
func BenchmarkSync(b *testing.B) {
	const size, room = 4 << 10, 32 << 20
	for name, prepare := range map[string]func(f *os.File) error{
		"growing":   func(*os.File) error { return nil },
		"allocated": func(f *os.File) error { return syscall.Fallocate(int(f.Fd()), 0, 0, room) },
		"zeroed":    func(f *os.File) error { return zero(f, 0, room) },
	} {
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "file"))
			must(b, err, prepare(f), f.Sync())
			defer f.Close()
			block := bytes.Repeat([]byte{'x'}, size)
			var took []time.Duration
			at := int64(0)
			for b.Loop() {
				if at == room { // as new again
					b.StopTimer()
					must(b, f.Truncate(0), prepare(f), f.Sync())
					at = 0
					b.StartTimer()
				}
				began := time.Now()
				_, err := f.WriteAt(block, at)
				must(b, err, syncData(f))
				took = append(took, time.Since(began))
				at += size
			}
			report(b, took)
		})
	}
}
