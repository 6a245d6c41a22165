package raft

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"vera"
	"vera/raft/state"
	"vera/test/bubble"
)

// saved returns an archive of a peer that has some of everything, the peer's
// options, and the cookie key. The peer has stopped.
func saved(t *testing.T) (archive []byte, o Options, key []byte) {
	t.Helper()
	o = quick(t, filepath.Join(t.TempDir(), "data"))
	r := open(t, o)
	for _, name := range []string{"one", "two"} {
		id, life := session(t, r, name)
		propose(t, r, push(id, life, "/data/x", 1))
		propose(t, r, push(id, life, vera.Path("/data/"+name), 2))
		propose(t, r, state.Command{Kind: state.Watch, Session: id, Life: life, Path: "/data/x", Limit: vera.NoLimit, SessionWatches: 9})
	}
	var b bytes.Buffer
	if err := r.Save(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	key = bytes.Clone(r.CookieKey())
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), o, key
}

func TestArchiveSaysWhatItHolds(t *testing.T) {
	archive, o, key := saved(t)
	a, err := CheckArchive(iotest.OneByteReader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, o)
	if a.Cluster != r.Cluster() || a.Peer != "a" || a.Sessions != 2 || a.Items != 4 || a.Watches != 2 || a.Lists != 3 || a.Index == 0 || a.Term == 0 || a.Saved.IsZero() {
		t.Errorf("%+v", a)
	}
	for _, secret := range [][]byte{key, []byte(strings.TrimSpace(readFile(t, filepath.Join(o.Dir, cookieFile))))} {
		if bytes.Contains(archive, secret) {
			t.Error("the cookie key is in the archive")
		}
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// What was acknowledged before Save is in the archive.
func TestArchiveHoldsWhatWasCommitted(t *testing.T) {
	r := open(t, quick(t, filepath.Join(t.TempDir(), "data")))
	id, life := session(t, r, "one")
	for n := range 50 {
		version := propose(t, r, push(id, life, "/data/x", n))[0].Version
		var b bytes.Buffer
		if err := r.Save(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if a, err := CheckArchive(&b); err != nil || a.Items != n+1 || a.Index < version {
			t.Fatalf("after push %d, version %d: %+v, %v", n, version, a, err)
		}
	}
	stopped, stop := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	stop(enough)
	if err := r.Save(stopped, &bytes.Buffer{}); !errors.Is(err, enough) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// TestDamagedArchiveIsRefused: every bit flipped, every byte missing, one too
// many. Nothing is made of it.
func TestDamagedArchiveIsRefused(t *testing.T) {
	good, _, key := saved(t)
	dir := filepath.Join(t.TempDir(), "restored")
	refused := func(what string, at int, b []byte) {
		t.Helper()
		if _, err := CheckArchive(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "the archive cannot be used") {
			t.Fatalf("%s at %d of %d: %v", what, at, len(good), err)
		}
	}
	for i := range good {
		refused("cut", i, good[:i])
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			refused("flipped", i, b)
		}
	}
	refused("one more", len(good), append(bytes.Clone(good), 0))
	refused("a snapshot alone", 0, good[bytes.IndexByte(good, '\n')+1:])
	newer := bytes.Replace(bytes.Clone(good), []byte(`{"veraArchive":1`), []byte(`{"veraArchive":2`), 1)
	if _, err := CheckArchive(bytes.NewReader(newer)); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer format: %v", err)
	}
	if _, err := RestoreArchive(dir, "a", bytes.NewReader(good[:len(good)-1]), 0, key); err == nil {
		t.Error("a damaged one is restored")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused archive made a directory: %v", err)
	}
	broken := errors.New("the disk broke")
	if _, err := CheckArchive(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a broken disk is told as %v", err)
	}
}

func TestRestoreNeedsAnEmptyDirectory(t *testing.T) {
	archive, o, _ := saved(t)
	restore := func(dir, name string, above uint64, key []byte) error {
		_, err := RestoreArchive(dir, name, bytes.NewReader(archive), above, key)
		return err
	}
	a, err := CheckArchive(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	write(t, filepath.Join(foreign, "thesis.tex"), "x")
	file := filepath.Join(foreign, "thesis.tex")
	for what, c := range map[string]struct {
		err   error
		words []string
	}{
		"a peer's":       {restore(o.Dir, "a", 0, nil), []string{o.Dir, "not empty"}},
		"somebody's":     {restore(foreign, "a", 0, nil), []string{foreign, "not empty", "thesis.tex"}},
		"a file":         {restore(file, "a", 0, nil), []string{file}},
		"a bad name":     {restore(filepath.Join(foreign, "new"), "a b", 0, nil), []string{"name"}},
		"a short key":    {restore(filepath.Join(foreign, "new"), "a", 0, []byte("x")), []string{"cookie key", "32"}},
		"above too low":  {restore(filepath.Join(foreign, "new"), "a", a.Index-1, nil), []string{"above"}},
		"above too high": {restore(filepath.Join(foreign, "new"), "a", 1<<60, nil), []string{"above"}},
	} {
		for _, w := range c.words {
			if c.err == nil || !strings.Contains(c.err.Error(), w) {
				t.Errorf("%s: %v does not say %q", what, c.err, w)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(foreign, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused restore made a directory: %v", err)
	}
	open(t, o) // none of that harmed it
}

// A restore that stopped half-way leaves nothing that a peer would start from.
func TestHalfARestoreIsRefused(t *testing.T) {
	archive, _, key := saved(t)
	o := quick(t, filepath.Join(t.TempDir(), "restored"))
	if _, err := RestoreArchive(o.Dir, "a", bytes.NewReader(archive), 0, key); err != nil {
		t.Fatal(err)
	}
	remove(t, filepath.Join(o.Dir, identityFile))
	refused(t, o, identityFile, "not empty")
}

func TestRestoredPeerGoesOn(t *testing.T) {
	archive, old, key := saved(t)
	a, err := CheckArchive(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for above, first := range map[uint64]uint64{0: a.Index + 1<<32, a.Index: a.Index + 1, 1 << 50: 1<<50 + 1} {
		o := quick(t, filepath.Join(t.TempDir(), "restored"))
		o.Name = "b"
		got, err := RestoreArchive(o.Dir, "b", bytes.NewReader(archive), above, key)
		if err != nil || got.Restored != first {
			t.Fatalf("above %d: %+v, %v", above, got, err)
		}
		versions := map[uint64]bool{}
		for start := range 3 {
			r := open(t, o)
			if r.Cluster() != a.Cluster || !bytes.Equal(r.CookieKey(), key) || r.Incarnation() != uint64(start)+1 {
				t.Fatalf("start %d: cluster %s, incarnation %d", start, r.Cluster(), r.Incarnation())
			}
			l, _ := r.Machine().List("/data/one")
			if l.Len() != 1 || start == 0 && l.ETag() != first {
				t.Fatalf("start %d: %d items, etag %d, not %d", start, l.Len(), l.ETag(), first)
			}
			id, life := session(t, r, "three")
			reply := propose(t, r, push(id, life, "/data/x", 1))[0]
			if reply.Version <= first || versions[reply.Version] {
				t.Errorf("above %d: version %d after %d", above, reply.Version, first)
			}
			versions[reply.Version] = true
			if err := r.hraft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := open(t, old); r.Machine().Counts().Items != 4 {
		t.Errorf("the old peer: %+v", r.Machine().Counts())
	}
}

// After a restore everybody is away: who comes back within the failover grace
// of the first start finds what he held, the others' items go when it is over.
func TestRestoredSessionsHaveTheFailoverGrace(t *testing.T) {
	archive, _, key := saved(t)
	bubble.Test(t, func(t *testing.T) {
		o := quick(t, filepath.Join(t.TempDir(), "restored"))
		if _, err := RestoreArchive(o.Dir, "b", bytes.NewReader(archive), 0, key); err != nil {
			t.Fatal(err)
		}
		o.Name = "b"
		r := open(t, o)
		began := time.Now()
		synctest.Wait() // the old peers are no members: they are declared gone at once
		for s := range r.Machine().Sessions() {
			if len(s.Attachments()) > 0 || s.Doubt() != o.FailoverGrace {
				t.Errorf("%s is attached to %v and missed for %v", s.ID(), s.Attachments(), s.Doubt())
			}
		}
		for _, p := range r.Machine().Peers() {
			if p.Gone == (p.Peer == r.Peer()) {
				t.Errorf("peer %d: gone is %v", p.Peer, p.Gone)
			}
		}
		<-time.After(o.FailoverGrace - time.Second)
		if n := r.Machine().Counts().Sessions; n != 2 {
			t.Fatalf("%d sessions are left after %v", n, time.Since(began))
		}
		if id, _ := session(t, r, "one"); r.Machine().Session(id).ItemCount() != 2 {
			t.Error("it came back in time and has lost its items")
		}
		<-time.After(3 * time.Second)
		if n := r.Machine().Counts(); n.Sessions != 1 || n.Items != 2 {
			t.Errorf("%v after the start: %+v", time.Since(began), n)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
