package raft

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// folder is a data directory's path: files as the operating system keeps them.
type folder string

func (f folder) file(name string) string { return filepath.Join(string(f), name) }

func (f folder) blank() error {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return err
	}
	expected := []string{claimFile, cookieFile, cookieFile + suffix, keyFile, keyFile + suffix, identityFile + suffix, "lost+found"}
	for _, e := range entries {
		if !slices.Contains(expected, e.Name()) {
			return fmt.Errorf("it has no %s but is not empty (%s): give an empty or a new --data-dir", identityFile, e.Name())
		}
	}
	return os.Chmod(string(f), 0o700)
}

func (f folder) read(name string) ([]byte, error) { return os.ReadFile(f.file(name)) }

func (f folder) secret(name string) ([]byte, error) {
	info, err := os.Stat(f.file(name))
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %#o): run chmod 600 %s, and make a new one if somebody else could have read it", name, mode, f.file(name))
	}
	if info.Size() > maxSmall {
		return nil, fmt.Errorf("%s is damaged: it is of %d bytes", name, info.Size())
	}
	return f.read(name)
}

func (f folder) write(name string, content []byte) error { return writeFile(f.file(name), content) }

func (f folder) measure() (free, size uint64, err error) { return statfs(string(f)) }
