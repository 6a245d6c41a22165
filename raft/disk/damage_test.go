package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
)

func cmd(i uint64) []byte { return fmt.Appendf(nil, "command %d with some bytes in it", i) }

// fill stores 30 entries in batches and a few values.
func fill(t testing.TB, s whole) uint64 {
	i := uint64(0)
	for n := 1; n <= 9; n++ {
		var b []*hraft.Log
		for range n % 5 {
			i++
			b = append(b, &hraft.Log{Index: i, Term: uint64(n), Data: cmd(i), AppendedAt: time.Unix(1, 2)})
		}
		if len(b) > 0 {
			if err := s.StoreLogs(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 9); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLog(&hraft.Log{Index: i + 1, Term: 9, Data: cmd(i + 1)}); err != nil {
		t.Fatal(err)
	}
	return i + 1
}

// verdict opens the damaged store: "intact", "refused: …" or "LOST …".
func verdict(open func(string) (whole, error), dir string, last uint64) (v string) {
	defer func() {
		if p := recover(); p != nil {
			v = fmt.Sprint("refused: panic ", p)
		}
	}()
	s, err := open(dir)
	if err != nil {
		return "refused: " + err.Error()
	}
	defer s.Close()
	term, err := s.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return "refused: read " + err.Error()
	}
	got, _ := s.LastIndex()
	if got != last {
		return fmt.Sprintf("LOST entries %d to %d (term %d)", got+1, last, term)
	}
	if term != 9 {
		return fmt.Sprintf("LOST the term: %d", term)
	}
	for i := uint64(1); i <= last; i++ {
		var l hraft.Log
		if err := s.GetLog(i, &l); err != nil {
			if err == hraft.ErrLogNotFound {
				return fmt.Sprintf("LOST entry %d", i)
			}
			return "refused: read " + err.Error()
		}
		if !bytes.Equal(l.Data, cmd(i)) {
			return fmt.Sprintf("LOST entry %d: other bytes", i)
		}
	}
	return "intact"
}

func copyDir(t testing.TB, from, to string) {
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestCompareFlips(t *testing.T) {
	for _, c := range candidates {
		if c.name == "pebble+cache" {
			continue
		}
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/closed=%t", c.name, closed), func(t *testing.T) {
				base, err := os.MkdirTemp("/dev/shm", "flip")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(base)
				dir := filepath.Join(base, "a")
				s, err := c.open(dir)
				if err != nil {
					t.Fatal(err)
				}
				last := fill(t, s)
				if closed {
					s.Close()
					if s, err = c.open(dir); err != nil {
						t.Fatal(err)
					}
					s.Close()
				}
				copyDir(t, dir, filepath.Join(base, "b"))
				flips(t, c.open, filepath.Join(base, "b"), filepath.Join(base, "c"), last)
				if !closed {
					s.Close()
				}
			})
		}
	}
}

func flips(t *testing.T, open func(string) (whole, error), from, work string, last uint64) {
	files, _ := os.ReadDir(from)
	for _, f := range files {
		b, _ := os.ReadFile(filepath.Join(from, f.Name()))
		counts := map[string]int{}
		samples := map[string]string{}
		n := len(bytes.TrimRight(b, "\x00"))
		for bit := 0; bit < n*8; bit++ {
			copyDir(t, from, work)
			d := bytes.Clone(b)
			d[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(filepath.Join(work, f.Name()), d, 0o600); err != nil {
				t.Fatal(err)
			}
			v := verdict(open, work, last)
			class := v
			if len(class) > 7 {
				class = class[:7]
			}
			counts[class]++
			if class == "LOST en" || class == "LOST th" || samples[class] == "" {
				samples[class] = fmt.Sprintf("byte %d: %s", bit/8, v)
			}
		}
		t.Logf("%-28s %6d bytes: %v %v", f.Name(), n, counts, samples)
	}
}

func TestCompareCuts(t *testing.T) {
	for _, c := range candidates {
		if c.name == "pebble+cache" {
			continue
		}
		for _, zero := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/zeros=%t", c.name, zero), func(t *testing.T) {
				base, err := os.MkdirTemp("/dev/shm", "cut")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(base)
				dir := filepath.Join(base, "a")
				s, err := c.open(dir)
				if err != nil {
					t.Fatal(err)
				}
				last := fill(t, s)
				copyDir(t, dir, filepath.Join(base, "b"))
				s.Close()
				files, _ := filepath.Glob(filepath.Join(base, "b", "*.log"))
				for _, f := range files {
					b, _ := os.ReadFile(f)
					n := len(bytes.TrimRight(b, "\x00"))
					counts := map[string]int{}
					for cut := range n {
						work := filepath.Join(base, "c")
						copyDir(t, filepath.Join(base, "b"), work)
						d := bytes.Clone(b[:cut])
						if zero {
							d = append(d, make([]byte, len(b)-cut)...)
						}
						os.WriteFile(filepath.Join(work, filepath.Base(f)), d, 0o600)
						v := verdict(c.open, work, last)
						counts[v[:7]]++
					}
					t.Logf("%s %d bytes: %v", filepath.Base(f), n, counts)
				}
			})
		}
	}
}
