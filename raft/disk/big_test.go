package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	hraft "github.com/hashicorp/raft"
)

// a larger WAL (200 KB); one flipped bit at each of 40 places.
func TestBigFlip(t *testing.T) {
	for _, c := range candidates {
		base, _ := os.MkdirTemp("/dev/shm", "big")
		defer os.RemoveAll(base)
		dir := filepath.Join(base, "a")
		s, err := c.open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetUint64([]byte("CurrentTerm"), 9); err != nil {
			t.Fatal(err)
		}
		for i := uint64(1); i <= 3000; i++ {
			if err := s.StoreLog(&hraft.Log{Index: i, Term: 9, Data: cmd(i)}); err != nil {
				t.Fatal(err)
			}
		}
		copyDir(t, dir, filepath.Join(base, "b"))
		s.Close()
		logs, _ := filepath.Glob(filepath.Join(base, "b", "*.log"))
		b, _ := os.ReadFile(logs[len(logs)-1])
		n := len(bytes.TrimRight(b, "\x00"))
		for k := range 40 {
			copyDir(t, filepath.Join(base, "b"), filepath.Join(base, "c"))
			d := bytes.Clone(b)
			d[n*k/40+7] ^= 4
			os.WriteFile(filepath.Join(base, "c", filepath.Base(logs[len(logs)-1])), d, 0o600)
			v := verdict(c.open, filepath.Join(base, "c"), 3000)
			if len(v) > 150 {
				v = v[:150]
			}
			t.Logf("%s: byte %d of %d: %s", c.name, n*k/40+7, n, v)
		}
	}
}
