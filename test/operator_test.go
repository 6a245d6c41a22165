package test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vera/client"
)

// refusesToStart runs a peer on p's data directory; it must end by itself,
// not with 0, and say why.
func (p *peer) refusesToStart(t *testing.T, words ...string) {
	t.Helper()
	cmd, err := p.prepare()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
		t.Fatalf("it runs:\n%s", said.String())
	}
	if exit, is := errors.AsType[*exec.ExitError](err); !is || exit.ExitCode() == 66 || strings.Contains(said.String(), "panic") {
		t.Errorf("it ended with %v:\n%s", err, said.String())
	}
	for _, word := range words {
		if !strings.Contains(said.String(), word) {
			t.Errorf("it does not say %q:\n%s", word, said.String())
		}
	}
}

// copyOf returns a peer that was never started, on a copy of p's data.
func (p *peer) copyOf(t *testing.T) *peer {
	t.Helper()
	c := &peer{dir: filepath.Join(t.TempDir(), "data"), flags: p.flags}
	if err := os.CopyFS(c.dir, os.DirFS(p.dir)); err != nil {
		t.Fatal(err)
	}
	// CopyFS opens modes up to what umask allows; secrets must stay secret.
	err := filepath.WalkDir(p.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.dir, file)
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(c.dir, rel), info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestADataDirectoryInUseIsRefused(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	c := call(t, p, client.Options{})
	c.push(here(t), number(1))
	(&peer{dir: p.dir}).refusesToStart(t, p.dir)
	if l := c.get(here(t)); len(l.Items) != 1 {
		t.Errorf("the first was harmed: %s", text(l))
	}
}

func TestADataDirectoryOfAnotherPeerIsRefused(t *testing.T) {
	t.Parallel()
	p := startPeer(t, "--name", "one")
	if err := p.terminate(); err != nil {
		t.Fatal(err)
	}
	(&peer{dir: p.dir, flags: []string{"--name", "two"}}).refusesToStart(t, p.dir, "one", "two")
	p.restart(t)
}

func TestASecretThatOthersMayReadIsRefused(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	if err := p.terminate(); err != nil {
		t.Fatal(err)
	}
	secrets := 0
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), "key") && !strings.Contains(entry.Name(), "secret") {
			continue
		}
		secrets++
		file := filepath.Join(p.dir, entry.Name())
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is made with mode %v", entry.Name(), info.Mode())
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		p.refusesToStart(t, entry.Name())
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if secrets == 0 {
		t.Errorf("no secret found among %v", entries)
	}
	p.restart(t)
}

func TestADataDirectoryOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	if err := p.terminate(); err != nil {
		t.Fatal(err)
	}
	// Whose data it is stands in a small text of JSON that names a version.
	version := regexp.MustCompile(`("(?:version|format)": ?)\d+`)
	changed := 0
	err := filepath.WalkDir(p.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(file) == "addresses.json" {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil || len(content) > 4096 || !strings.HasPrefix(string(content), "{") {
			return err
		}
		newer := version.ReplaceAllString(string(content), `${1}99`)
		if newer != string(content) {
			changed++
		}
		return os.WriteFile(file, []byte(newer), d.Type().Perm()|0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if changed == 0 {
		t.Fatal("no version found in the data directory")
	}
	p.refusesToStart(t, "99")
}

func TestADirectoryOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	p := &peer{dir: t.TempDir()}
	precious := filepath.Join(p.dir, "precious.txt")
	if err := os.WriteFile(precious, []byte("not a peer's"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.refusesToStart(t, p.dir)
	if content, err := os.ReadFile(precious); err != nil || string(content) != "not a peer's" {
		t.Errorf("%q, %v", content, err)
	}
}

// damage is one thing that can happen to a file.
type damage struct {
	name  string
	do    func([]byte) []byte
	crash bool // a crash can leave it: what came last may be missing
}

func damages() []damage {
	// Files of the log are made at their full size: what is behind the end is zero.
	used := func(b []byte) int { return max(1, len(bytes.TrimRight(b, "\x00"))) }
	return []damage{
		{"cut short", func(b []byte) []byte { return b[:used(b)*2/3] }, true},
		{"a bit flipped", func(b []byte) []byte { b[used(b)/2] ^= 4; return b }, false},
		{"its first byte", func(b []byte) []byte { b[0] ^= 0x80; return b }, false},
	}
}

// A damaged file is either refused, or recovered from: then nothing that was
// answered may be missing but what a crash could have torn off, nothing in the
// middle in any case, and the peer serves.
func TestDamagedDataIsRefusedOrRecoveredAndNeverDiverges(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t), here(t)
	c := call(t, p, client.Options{Grace: 10 * time.Minute})
	var pushed []uint64
	for n := range 200 {
		pushed = append(pushed, c.push(path, number(n), client.Limit(0)).Version)
	}
	p.kill(t)
	var files []string
	err := filepath.WalkDir(p.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil && info.Size() > 0 && d.Name() != "addresses.json" {
			rel, err := filepath.Rel(p.dir, file)
			files = append(files, rel)
			return err
		}
		return nil
	})
	if err != nil || len(files) < 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		for _, damage := range damages() {
			t.Run(file+"/"+damage.name, func(t *testing.T) {
				broken := p.copyOf(t)
				content, err := os.ReadFile(filepath.Join(broken.dir, file))
				if err == nil {
					err = os.WriteFile(filepath.Join(broken.dir, file), damage.do(content), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				broken.startOrRefuse(t, path, pushed, damage.crash)
			})
		}
	}
}

// startOrRefuse starts a peer on damaged data and looks at what it made of it.
func (p *peer) startOrRefuse(t *testing.T, path string, pushed []uint64, torn bool) {
	t.Helper()
	t.Cleanup(func() {
		if p.cmd != nil && p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	})
	if err := p.start(); err != nil {
		if line := p.log.alarm(); line != "" {
			t.Errorf("it refused with a panic: %s", p.log.tail(30))
		}
		return
	}
	found := versions(call(t, p, client.Options{}).get(path).Items)
	if len(found) < len(pushed) && !torn {
		t.Errorf("of %d items that were answered %d are left, and it started as if nothing had happened", len(pushed), len(found))
	}
	for n, version := range found {
		if version != pushed[n] {
			t.Fatalf("of %d items the %dth is %d, was %d: it diverged", len(found), n, version, pushed[n])
		}
	}
	if l := call(t, p, client.Options{}).push(path+"/on", number(0)); l.Version <= pushed[max(len(found)-1, 0)] {
		t.Errorf("goes on with version %d", l.Version)
	}
}
