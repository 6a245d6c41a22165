package link

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peer.key")
	if _, err := LoadKey(file); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	made, err := MakeKey(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	read, err := LoadKey(file)
	if err != nil || !read.Equal(made) {
		t.Fatalf("read another key: %v", err)
	}
	if _, err := MakeKey(file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made over it: %v", err)
	}
	if left, _ := filepath.Glob(file + "?*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeyFileThatOthersMayReadIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peer.key")
	if _, err := MakeKey(file); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644, 0o777} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(file); err == nil || !strings.Contains(err.Error(), "may be read by others") {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestDamagedKeyFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peer.key")
	if _, err := MakeKey(file); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(what string, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadKey(file)
		if err == nil || !strings.Contains(err.Error(), "peer.key is damaged") || strings.Contains(err.Error(), string(whole[:16])) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range len(whole) - 1 {
		damaged("cut short", whole[:n])
	}
	damaged("too long", append(whole[:len(whole):len(whole)], "00\n"...))
	for i := range len(whole) - 1 {
		flipped := append([]byte(nil), whole...)
		if flipped[i] ^= 1; flipped[i] >= 'a' || flipped[i] <= '9' {
			damaged("a bit flipped", flipped)
		}
	}
}
