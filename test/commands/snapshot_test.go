package commands

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vera/client"
	"vera/test/cluster"
)

func TestASnapshotIsSavedCheckedAndRestored(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	holder := call(t, p.Client, client.Options{})
	pushed, err := holder.Push(within(t), "/data/kept", map[string]int{"n": 1})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name, key := filepath.Join(dir, "saved"), filepath.Join(dir, "cookie.key")
	var saved, checked, restored struct {
		Cluster                         string
		Index, Restored                 uint64
		Sessions, Items, Lists, Watches int
	}
	read := func(text string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	read(must(t, c, p, "snapshot", "save", name), &saved)
	out, said, status := run(t, c.Binary(), "snapshot", "check", name)
	if status != 0 {
		t.Fatalf("check: %s", said)
	}
	if read(out, &checked); checked != saved || saved.Items != 1 || saved.Sessions != 1 || saved.Index < pushed.Version {
		t.Errorf("saved %+v, checked %+v", saved, checked)
	}
	secret, err := os.ReadFile(filepath.Join(p.Dir, "cookie.key"))
	if err == nil {
		err = os.WriteFile(key, secret, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	holder.Abort() // as when the machine is gone
	p.Kill()
	if err := os.Rename(p.Dir, p.Dir+".lost"); err != nil {
		t.Fatal(err)
	}
	out, said, status = run(t, c.Binary(), "snapshot", "restore", name, "--data-dir", p.Dir, "--name", p.Name, "--cookie-key-file", key)
	if status != 0 {
		t.Fatalf("restore: %s", said)
	}
	if read(out, &restored); restored.Restored < saved.Index+1<<32 {
		t.Errorf("restored at %d, saved at %d", restored.Restored, saved.Index)
	}
	p.Restart()
	back := call(t, p.Client, client.Options{Cookie: holder.Cookie()})
	if s, err := back.Session(within(t)); err != nil || !s.Resumed || len(s.Items) != 1 || s.Items[0].Version != pushed.Version {
		t.Errorf("the session came back as %+v, %v", s, err)
	}
	if l, err := back.Push(within(t), "/data/kept", map[string]int{"n": 2}); err != nil || l.Version <= restored.Restored || len(l.Items) != 2 {
		t.Errorf("pushed %+v, %v", l, err)
	}
}

// A file that is there stays as it is, unless told otherwise, and nothing else
// is left beside it.
func TestASavedSnapshotIsReplacedOnlyByForce(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	dir := t.TempDir()
	name := filepath.Join(dir, "saved")
	if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	holds := func() string {
		t.Helper()
		all, err := os.ReadDir(dir)
		if err != nil || len(all) != 1 {
			t.Errorf("the folder holds %v: %v", all, err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	out, said, status := operate(t, c, p, "snapshot", "save", name)
	if status != 1 || out != "" || !strings.Contains(said, name+" exists") || !strings.Contains(said, "--force") || holds() != "precious" {
		t.Errorf("%d %s%s", status, out, said)
	}
	// What breaks off replaces nothing, also by force.
	if _, said, status := run(t, c.Binary(), "snapshot", "save", name, "--force", "--server", "http://"+p.Client); status != 1 || holds() != "precious" {
		t.Errorf("from a client listener: %d %s", status, said)
	}
	must(t, c, p, "snapshot", "save", name, "--force")
	if text := holds(); text == "precious" {
		t.Error("it was not replaced")
	}
	if _, said, status := run(t, c.Binary(), "snapshot", "check", name); status != 0 {
		t.Errorf("check: %s", said)
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	must(t, c, p, "snapshot", "save", good)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, text...)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{"flipped": flipped, "cut": text[:len(text)-1], "empty": nil} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		into := filepath.Join(dir, name+".data")
		for _, args := range [][]string{{"check", bad}, {"restore", bad, "--data-dir", into}} {
			out, said, status := run(t, c.Binary(), append([]string{"snapshot"}, args...)...)
			if status != 1 || out != "" || !strings.Contains(said, bad) || strings.Count(said, "\n") != 1 {
				t.Errorf("%v: %d %s%s", args, status, out, said)
			}
		}
		if _, err := os.Stat(into); err == nil {
			t.Errorf("%s made a data directory", name)
		}
	}
	if _, said, status := run(t, c.Binary(), "snapshot", "restore", good, "--data-dir", p.Dir); status != 1 || !strings.Contains(said, p.Dir) {
		t.Errorf("over another peer's data: %d %s", status, said)
	}
	if out, said, status := run(t, c.Binary(), "snapshot", "save", filepath.Join(dir, "x"), "--server", "http://"+p.Client); status != 1 || !strings.Contains(said, "admin listener") {
		t.Errorf("from a client listener: %d %s%s", status, out, said)
	}
}
