package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// memory is a directory on a file system in memory where there is one: for tests of bytes, not of the disk.
func memory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "vera-disk")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// sample is a store with a history, closed: its only segment, before and after the last batch of 25 entries.
func sample(t testing.TB, dir string) (path string, before, after []byte) {
	s, err := Open(dir, Options{SegmentBytes: 2 * minSegment})
	must(t, err)
	must(t, s.StoreLogs(entries(1, 3, 1)), s.SetUint64([]byte("term"), 1), s.StoreLogs(entries(4, 25, 1)))
	must(t, s.DeleteRange(8, 25), s.DeleteRange(1, 2))
	path = s.last().path
	before, err = os.ReadFile(path)
	must(t, err, s.StoreLogs(entries(8, 32, 2)))
	after, err = os.ReadFile(path)
	must(t, err, s.Close())
	return path, before, after
}

var (
	termsBefore = terms(5, 1)
	termsAfter  = append(terms(5, 1), terms(25, 2)...)
)

// opened opens the store over the bytes of its only segment, compares it with want, and stores another batch.
func opened(t *testing.T, path string, data []byte, want []uint64) error {
	must(t, os.WriteFile(path, data, 0o600))
	s, err := Open(filepath.Dir(path), Options{SegmentBytes: minSegment})
	if err != nil {
		return err
	}
	defer func() { must(t, s.Close()) }()
	if err := check(s, 3, want...); err != nil {
		return err
	}
	if n, err := s.GetUint64([]byte("term")); n != 1 || err != nil {
		return fmt.Errorf("term %d: %v", n, err)
	}
	next := uint64(3 + len(want))
	must(t, s.StoreLogs(entries(next, next+1, 5)), s.Close())
	s, err = Open(s.dir, s.options)
	must(t, err)
	return check(s, 3, append(append([]uint64{}, want...), 5, 5)...)
}

func TestTornTailAtEveryByte(t *testing.T) {
	path, before, after := sample(t, memory(t))
	from, to := lastNonZero(before)+1, lastNonZero(after)
	for cut := from; cut <= to; cut++ {
		torn := bytes.Clone(after)
		clear(torn[cut:])
		want := termsBefore
		if cut >= to-frameAlign { // only padding is lost
			if opened(t, path, torn, termsAfter) == nil {
				continue
			}
		}
		if err := opened(t, path, torn, want); err != nil {
			t.Fatalf("cut at %d of %d to %d: %v", cut, from, to, err)
		}
	}
}

// A disk writes sectors in any order: each set of them is what a power cut may leave of the last batch.
func TestTornSectors(t *testing.T) {
	path, before, after := sample(t, memory(t))
	first, last := lastNonZero(before)/sectorBytes, lastNonZero(after)/sectorBytes
	if last-first < 2 {
		t.Fatal("the last batch lies in too few sectors to tell anything")
	}
	for set := range 1 << (last - first + 1) {
		torn := bytes.Clone(before)
		for i := range last - first + 1 {
			if at := (first + i) * sectorBytes; set&(1<<i) != 0 {
				copy(torn[at:at+sectorBytes], after[at:])
			}
		}
		want := termsBefore
		if bytes.Equal(torn, after) {
			want = termsAfter
		}
		if err := opened(t, path, torn, want); err != nil {
			t.Errorf("sectors %b: %v", set, err)
		}
	}
}

// A sector that is lost before the last batch is no crash's work: that batch was begun when the sector was on the disk.
func TestLostSector(t *testing.T) {
	path, before, after := sample(t, memory(t))
	for at := 0; at+sectorBytes <= lastNonZero(before); at += sectorBytes {
		lost := bytes.Clone(after)
		clear(lost[at : at+sectorBytes])
		must(t, os.WriteFile(path, lost, 0o600))
		if _, err := Open(filepath.Dir(path), Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("sector at byte %d: %v", at, err)
		}
	}
}

func TestCutIsTold(t *testing.T) {
	path, _, after := sample(t, memory(t))
	clear(after[lastNonZero(after)-200:])
	must(t, os.WriteFile(path, after, 0o600))
	var told string
	for range 2 {
		s := mustOpen(t, filepath.Dir(path), Options{Cut: func(path string, at int64) { told += fmt.Sprint(path, at) }})
		if want := fmt.Sprint(path, s.end); told != want {
			t.Errorf("told %q, not %q", told, want)
		}
		must(t, s.Close())
	}
}

// A crash while one segment follows another: the new one is there, and the seal of the old one is not, or in part.
func TestCrashBetweenSegments(t *testing.T) {
	dir := memory(t)
	s := mustOpen(t, dir, Options{SegmentBytes: minSegment})
	must(t, s.StoreLogs(entries(1, 9, 1)))
	var value []byte // of the last batch in segment 2
	for n := byte(0); ; n++ {
		next := bytes.Repeat([]byte{n}, 900)
		must(t, s.Set([]byte("x"), next))
		if len(s.log.segments) == 3 {
			break
		}
		value = next
	}
	must(t, s.Close())
	old, err := os.ReadFile(segmentPath(dir, 2))
	must(t, err)
	fresh, err := os.ReadFile(segmentPath(dir, 3))
	must(t, err)
	end := (lastNonZero(old)/frameAlign + 1) * frameAlign // of the seal
	clear(fresh[segmentHeader+padded(frameHeader+rangeRecord+recordHeader+1+900):])
	for cut := end - sealFrame; cut <= end; cut++ {
		torn := bytes.Clone(old)
		clear(torn[cut:])
		must(t, os.WriteFile(segmentPath(dir, 2), torn, 0o600), os.WriteFile(segmentPath(dir, 3), fresh, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, unfinished), []byte("half a file"), 0o600))
		s := mustOpen(t, dir, Options{SegmentBytes: minSegment})
		if got, err := s.Get([]byte("x")); !bytes.Equal(got, value) || err != nil {
			t.Fatal(got, err)
		}
		must(t, check(s, 1, terms(9, 1)...), s.StoreLog(entry(10, 2)))
		s = reopen(t, s)
		must(t, check(s, 1, append(terms(9, 1), 2)...), s.StoreLogs(entries(11, 110, 2)))
		s = reopen(t, s)
		must(t, check(s, 1, append(terms(9, 1), terms(101, 2)...)...), s.Close())
		for n := uint64(4); os.Remove(segmentPath(dir, n)) == nil; n++ {
		}
	}
}

// victimDir names the environment variable that makes the test binary the victim of the kill -9 loop.
const victimDir = "VERA_DISK_VICTIM"

// victim does one thing after another to a store until it is killed, and says before and after each what it is.
func victim(dir string) {
	s, err := Open(dir, Options{SegmentBytes: 16 << 10})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for {
		first, last := s.log.first, s.log.last
		term, err := s.GetUint64([]byte("term"))
		n := 1 + rand.Uint64N(40)
		switch roll := rand.IntN(20); {
		case roll == 0:
			fmt.Println("term", term+1, 0)
			err = errors.Join(err, s.SetUint64([]byte("term"), term+1))
		case roll < 3 && last-first > 500:
			fmt.Println("delete", first, first+n)
			err = errors.Join(err, s.DeleteRange(first, first+n))
		case roll == 3 && last-first > 100:
			fmt.Println("delete", last-n, last)
			err = errors.Join(err, s.DeleteRange(last-n, last))
		default:
			fmt.Println("store", last+1, n)
			err = errors.Join(err, s.StoreLogs(entries(last+1, last+n, term)))
		}
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println("done")
	}
}

// do applies what a victim said to the model.
func (m *model) do(line string, term *uint64) error {
	var verb string
	var a, b uint64
	if _, err := fmt.Sscan(line, &verb, &a, &b); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	switch verb {
	case "term":
		*term = a
	case "delete":
		m.delete(a, b)
	case "store":
		m.store(a, *term, int(b))
	default:
		return errors.New(line)
	}
	return nil
}

// killed starts a victim, reads so many lines and then kills it. It returns all lines.
func killed(t *testing.T, dir string, lines int) []string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	var all []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // what was cut off was not said
		}
		if all = append(all, strings.TrimSpace(line)); len(all) == lines {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || len(all) < lines {
		t.Fatal("the victim ended by itself:", all, err)
	}
	return all
}

func TestKill9(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	dir := filepath.Join(t.TempDir(), "log")
	var m model
	term := uint64(0)
	for range rounds {
		lines := killed(t, dir, 1+rand.IntN(300))
		open := "" // the operation that was not said to be done
		for _, l := range lines {
			if l != "done" {
				open = l
				continue
			}
			must(t, m.do(open, &term))
			open = ""
		}
		s := mustOpen(t, dir, Options{SegmentBytes: 16 << 10})
		err := errors.Join(check(s, m.first, m.terms...), holds(s, term))
		if err != nil && open != "" {
			must(t, m.do(open, &term))
			if last, _ := s.LastIndex(); strings.HasPrefix(open, "store") && last < m.last() {
				m.delete(last+1, m.last()) // of a batch, the first part may be there alone
			}
			err = errors.Join(check(s, m.first, m.terms...), holds(s, term))
		}
		if err != nil {
			t.Fatalf("under way %q: %v", open, err)
		}
		must(t, s.Close())
	}
}

func holds(s *Store, term uint64) error {
	if got, err := s.GetUint64([]byte("term")); got != term || err != nil {
		return fmt.Errorf("term %d, not %d: %v", got, term, err)
	}
	return nil
}
