package raft

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused opens a directory that must not be opened, and checks that the error
// names all that an operator needs.
func refused(t *testing.T, o Options, words ...string) {
	t.Helper()
	r, err := Open(context.Background(), o)
	if err == nil {
		t.Errorf("opened; want an error with %q", words)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q\ndoes not say %q", err, w)
		}
	}
}

// used returns the options of a peer that ran before, with something in its
// log, and its cookie key.
func used(t *testing.T) (Options, []byte) {
	t.Helper()
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	r := open(t, o)
	id, life := session(t, r, "one")
	propose(t, r, push(id, life, "/data/x", 1))
	key := bytes.Clone(r.CookieKey())
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return o, key
}

func TestDirectoryIsPrivateAndKeepsItsSecrets(t *testing.T) {
	o, key := used(t)
	if len(key) != 32 {
		t.Fatalf("the cookie key has %d bytes", len(key))
	}
	err := filepath.WalkDir(o.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if path == o.Dir && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if filepath.Dir(path) == o.Dir && !d.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, o)
	if !bytes.Equal(first.CookieKey(), key) {
		t.Error("the cookie key changed with a restart")
	}
	other := quick(t, filepath.Join(t.TempDir(), "other"))
	second := open(t, other)
	if first.Cluster() == second.Cluster() || len(first.Cluster()) != 32 || first.Peer() == second.Peer() || bytes.Equal(second.CookieKey(), key) {
		t.Errorf("two peers share what is made at random: %s %s %x %x", first.Cluster(), second.Cluster(), first.Peer(), second.Peer())
	}
}

func TestDirectoryInUseIsRefused(t *testing.T) {
	o, _ := used(t)
	r := open(t, o)
	refused(t, o, "in use by process", "stop that one", "--data-dir")
	if id, life := session(t, r, "two"); life == 0 {
		t.Errorf("the peer that has the directory was disturbed: %v", id)
	}
}

func TestDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	o, _ := used(t)
	other := o
	other.Name = "b"
	refused(t, other, `peer "a", not of "b"`, "--name a", "--data-dir")
	other = o
	other.Cluster = ClusterID(strings.Repeat("0", 32))
	refused(t, other, "data of cluster", "not of "+string(other.Cluster))

	foreign := quick(t, t.TempDir())
	write(t, filepath.Join(foreign.Dir, "thesis.tex"), "x")
	refused(t, foreign, "not empty", "thesis.tex")

	// Somebody else's log under this peer's name.
	mine, _ := used(t)
	if err := os.RemoveAll(filepath.Join(mine.Dir, logDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(mine.Dir, logDir), os.DirFS(filepath.Join(o.Dir, logDir))); err != nil {
		t.Fatal(err)
	}
	refused(t, mine, "another peer's")

	open(t, o) // none of that harmed the first
}

func TestDirectoryDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		words  []string
	}{
		"newer version": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, identityFile), `"format": 2`, `"format": 3`)
		}, []string{identityFile, "newer Vera", "format 3"}},
		"identity cut short": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, identityFile), `{"format":`)
		}, []string{identityFile, "damaged"}},
		"identity empty": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, identityFile), `{}`)
		}, []string{identityFile, "damaged"}},
		"identity gone": {func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, identityFile))
		}, []string{identityFile, "not empty"}},
		"secret readable by others": {func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, cookieFile), 0o640); err != nil {
				t.Fatal(err)
			}
		}, []string{cookieFile, "read by others", "chmod 600"}},
		"secret cut short": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, cookieFile), "c0ffee")
		}, []string{cookieFile, "damaged"}},
		"secret gone": {func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, cookieFile))
		}, []string{cookieFile}},
		"log gone": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, logDir)); err != nil {
				t.Fatal(err)
			}
		}, []string{"log is gone", "backup"}},
		"log damaged": {func(t *testing.T, dir string) {
			flip(t, firstSegment(t, dir), 4)
		}, []string{filepath.Join("data", logDir)}},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := used(t)
			c.damage(t, o.Dir)
			refused(t, o, append(c.words, o.Dir)...)
			refused(t, o, c.words...) // the refusal has changed nothing, and let go of the directory
		})
	}
}

func TestDirectoryThatACrashLeftHalfMadeIsMade(t *testing.T) {
	for _, leftovers := range [][]string{
		{claimFile},
		{claimFile, cookieFile + suffix},
		{claimFile, cookieFile},
		{claimFile, cookieFile, identityFile + suffix, "lost+found"},
	} {
		o := quick(t, t.TempDir())
		for _, name := range leftovers {
			write(t, filepath.Join(o.Dir, name), "half")
		}
		r := open(t, o)
		session(t, r, "one")
	}
	// The identity is there, the log is not, or not quite.
	o, _ := used(t)
	edit(t, filepath.Join(o.Dir, identityFile), `"formed": true`, `"formed": false`)
	if err := os.RemoveAll(filepath.Join(o.Dir, logDir)); err != nil {
		t.Fatal(err)
	}
	r := open(t, o)
	session(t, r, "one")
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, file, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(from)) {
		t.Fatalf("%s has no %s: %s", file, from, raw)
	}
	write(t, file, strings.Replace(string(raw), from, to, 1))
}

// flip changes one bit of a file, at a place from its start.
func flip(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func firstSegment(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(dir, logDir))
	if err != nil || len(all) == 0 {
		t.Fatalf("no segment: %v", err)
	}
	return filepath.Join(dir, logDir, all[0].Name())
}

// A peer that no cluster ever knew takes another name, and keeps its key. Then
// it keeps its name.
func TestDirectoryThatNeverJoinedTakesAnotherName(t *testing.T) {
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	fails := func() []byte {
		t.Helper()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		alone := o
		alone.PeerListener, alone.Secret, alone.Join = listener, secret, []string{"127.0.0.1:1"}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if r, err := Open(ctx, alone); err == nil {
			t.Fatal("it joined nobody: ", r.Close())
		}
		key, err := os.ReadFile(filepath.Join(o.Dir, keyFile))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key := fails()
	o.Name = "b"
	if again := fails(); !bytes.Equal(key, again) {
		t.Error("it has another key")
	}
	o.Name = "c"
	r := open(t, o)
	if r.Name() != "c" || peerName(r.raftID()) != "c" || r.directory.Name != "c" {
		t.Errorf("it is %s, %s, %s", r.Name(), r.raftID(), r.directory.Name)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	o.Name = "d"
	refused(t, o, `peer "c", not of "d"`)
	identity := filepath.Join(o.Dir, identityFile)
	edit(t, identity, `"formed": true`, `"formed": false`) // as when it crashed while it formed its cluster
	refused(t, o, `peer "c", not of "d"`)
	o.Name = "c"
	if err := open(t, o).Close(); err != nil {
		t.Error(err)
	}
}

// Whoever is promised to a founder waits for the one with its Raft id.
func TestDirectoryOfAFounderKeepsItsName(t *testing.T) {
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	d, err := o.openDirectory()
	if err != nil {
		t.Fatal(err)
	}
	r := &Raft{directory: d, peers: newPeers("a-1", card{})}
	for _, to := range []*promise{r.newPromise(), nil} {
		if err := r.swear(hello{Promise: d.now().Promise}, to); err != nil {
			t.Fatal(err)
		}
		if err := d.release(); err != nil {
			t.Fatal(err)
		}
		other := o
		other.Name = "b"
		refused(t, other, `peer "a", not of "b"`)
	}
}
