package raft

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	hraft "github.com/hashicorp/raft"

	"vera"
	"vera/raft/state"
)

// snapshotted returns the options of a peer that has taken a snapshot and gone
// on, the path of that snapshot, and the hash of its machine at the end.
func snapshotted(t *testing.T) (o Options, snapshot string, hash uint64) {
	t.Helper()
	o = quick(t, filepath.Join(t.TempDir(), "data"))
	o.trailing = 10
	r := open(t, o)
	id, life := session(t, r, "one")
	for n := range 100 {
		propose(t, r, push(id, life, "/data/x", n))
	}
	if err := r.hraft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		propose(t, r, push(id, life, "/data/y", n))
	}
	hash = r.Machine().Hash()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(filepath.Join(o.Dir, snapshotsDir))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d snapshots: %v", len(all), err)
	}
	return o, filepath.Join(o.Dir, snapshotsDir, all[0].Name()), hash
}

func TestSnapshotAndLogGiveTheStateBack(t *testing.T) {
	o, snapshot, _ := snapshotted(t)
	if err := os.Mkdir(snapshot+".tmp", 0o700); err != nil { // was being written when a crash came
		t.Fatal(err)
	}
	write(t, filepath.Join(snapshot+".tmp", "state.bin"), "half")
	r := open(t, o)
	if _, err := os.Stat(snapshot + ".tmp"); !os.IsNotExist(err) {
		t.Errorf("what the crash left is still there: %v", err)
	}
	for range 3 { // the first is one too many now
		session(t, r, "two")
		if err := r.hraft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(snapshot, 0o700); err != nil { // a crash came while it was being deleted
		t.Fatal(err)
	}
	r = open(t, o)
	if left, err := os.ReadDir(filepath.Dir(snapshot)); err != nil || len(left) != snapshotsKept {
		t.Errorf("%d snapshots: %v", len(left), err)
	}
	x, _ := r.Machine().List("/data/x")
	y, _ := r.Machine().List("/data/y")
	if x.Len() != 100 || y.Len() != 20 {
		t.Errorf("%d and %d items", x.Len(), y.Len())
	}
	if err := r.Machine().Check(); err != nil {
		t.Error(err)
	}
	n, missed := r.Feed().Read(0, make([]state.Output, 1))
	if n != 0 || !missed {
		t.Error("a reader is not told that it missed what the snapshot holds")
	}
	if first, err := r.guard.FirstIndex(); err != nil || first < 100 {
		t.Errorf("the log begins at %d: %v", first, err)
	}
}

// The same entries give the same hash, whether they came from the log or a
// snapshot and the log.
func TestHashSurvivesARestart(t *testing.T) {
	o, _, hash := snapshotted(t)
	r := open(t, o)
	position := uint64(0)
	for {
		buffer := make([]state.Output, 64)
		n, missed := r.Feed().Read(position, buffer)
		if missed {
			position = r.Feed().floor
			continue
		}
		if n == 0 {
			t.Fatalf("no output has the hash %x that the machine had", hash)
		}
		if slices.ContainsFunc(buffer[:n], func(out state.Output) bool { return out.Hash == hash }) {
			return
		}
		position = buffer[n-1].Index
	}
}

func TestDamagedSnapshotIsRefusedAndNamed(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, snapshot string){
		"state.bin flipped": func(t *testing.T, s string) { flip(t, filepath.Join(s, "state.bin"), 40) },
		"state.bin cut": func(t *testing.T, s string) {
			if err := os.Truncate(filepath.Join(s, "state.bin"), 100); err != nil {
				t.Fatal(err)
			}
		},
		"state.bin gone": func(t *testing.T, s string) { remove(t, filepath.Join(s, "state.bin")) },
		"meta.json cut":  func(t *testing.T, s string) { write(t, filepath.Join(s, "meta.json"), `{"Version":`) },
		"meta.json gone": func(t *testing.T, s string) { remove(t, filepath.Join(s, "meta.json")) },
	} {
		t.Run(name, func(t *testing.T) {
			o, snapshot, _ := snapshotted(t)
			damage(t, snapshot)
			file, _, _ := strings.Cut(name, " ")
			refused(t, o, filepath.Join(snapshot, file), "damaged", "backup")
		})
	}
	t.Run("gone", func(t *testing.T) {
		o, snapshot, _ := snapshotted(t)
		if err := os.RemoveAll(snapshot); err != nil {
			t.Fatal(err)
		}
		refused(t, o, "log begins at", "missing", "backup")
	})
}

// A snapshot whose checksum is right and whose content is not ours.
func TestForeignSnapshotIsRefused(t *testing.T) {
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	log := hraft.NewInmemStore()
	kept := hraft.NewInmemSnapshotStore()
	o.memory = &memory{memoryStore{log}, kept}
	r := open(t, o)
	session(t, r, "one")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	alone := hraft.Configuration{Servers: []hraft.Server{{ID: r.raftID(), Address: "x"}}}
	_, transport := hraft.NewInmemTransport("x")
	sink, err := kept.Create(1, 3, 2, alone, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write([]byte("something else")); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, o, "snapshot", "damaged")
}

// memoryStore is a log in memory that outlives its peer.
type memoryStore struct{ *hraft.InmemStore }

func (memoryStore) Close() error { return nil }

func TestLogAndSnapshotAreMadeToAgree(t *testing.T) {
	entries := func(from, to, term uint64) *hraft.InmemStore {
		s := hraft.NewInmemStore()
		for i := from; i <= to; i++ {
			if err := s.StoreLog(&hraft.Log{Index: i, Term: term}); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	for name, c := range map[string]struct {
		log      *hraft.InmemStore
		snapshot *hraft.SnapshotMeta
		last     uint64 // of the log afterwards
		err      string
	}{
		"nothing":                    {hraft.NewInmemStore(), nil, 0, ""},
		"a log":                      {entries(1, 9, 1), nil, 9, ""},
		"a log without its start":    {entries(3, 9, 1), nil, 9, "begins at 3"},
		"both":                       {entries(1, 9, 1), &hraft.SnapshotMeta{Index: 5, Term: 1}, 9, ""},
		"a snapshot":                 {hraft.NewInmemStore(), &hraft.SnapshotMeta{Index: 5, Term: 1}, 0, ""},
		"the log follows":            {entries(6, 9, 1), &hraft.SnapshotMeta{Index: 5, Term: 1}, 9, ""},
		"a gap":                      {entries(7, 9, 1), &hraft.SnapshotMeta{Index: 5, Term: 1}, 9, "begins at 7"},
		"the log is behind":          {entries(1, 4, 1), &hraft.SnapshotMeta{Index: 5, Term: 1}, 0, ""},
		"the log is of another term": {entries(1, 9, 1), &hraft.SnapshotMeta{Index: 5, Term: 2}, 0, ""},
	} {
		err := agree(c.log, c.snapshot)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if last, _ := c.log.LastIndex(); last != c.last {
			t.Errorf("%s: the log ends at %d, want %d", name, last, c.last)
		}
	}
}

func TestPeersAreAList(t *testing.T) {
	o := quick(t, filepath.Join(t.TempDir(), "data"))
	o.ClientURL = "http://127.0.0.1:1"
	r := open(t, o)
	first := r.Peers()
	if first.Len() != 1 || first.ETag() == 0 || first.Head().Version == 0 || first.Head().Session != (vera.SessionID{}) {
		t.Fatalf("%d peers, etag %d", first.Len(), first.ETag())
	}
	data := string(first.Head().Data)
	for _, want := range []string{`"name":"a"`, `"role":"leader"`, `"client":"http://127.0.0.1:1"`, `"id":"` + string(r.raftID()) + `"`} {
		if !strings.Contains(data, want) {
			t.Errorf("%s lacks %s", data, want)
		}
	}
	position := r.Feed().Index()
	r.SetClientURL("https://vera.example")
	barrier(t, r)
	second := r.Peers()
	outputs := make([]state.Output, 2)
	n, missed := r.Feed().Read(position, outputs)
	if n != 1 || missed || outputs[0].Changes[0].Path != vera.PeersPath || outputs[0].Changes[0].After != second || outputs[0].Index != second.ETag() {
		t.Errorf("the feed tells %+v", outputs[:n])
	}
	if second.ETag() <= first.ETag() || !strings.Contains(string(second.Head().Data), "https://vera.example") {
		t.Errorf("etag %d after %d: %s", second.ETag(), first.ETag(), second.Head().Data)
	}
	barrier(t, r)
	if r.Peers() != second {
		t.Error("the list changed though nothing did")
	}
}
