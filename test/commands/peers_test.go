package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vera/test/cluster"
)

func TestPeersAreListedPromotedTransferredAndRemoved(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 3, calm())
	first := c.Peers[0]
	watcher := c.Add("--observer")
	has := func(name, role string) {
		t.Helper()
		for _, p := range c.Running() {
			eventually(t, fmt.Sprintf("%s to see %s as %q", p.Name, name, role), func() error {
				if got := roles(t, c, p)[name]; got != role {
					return fmt.Errorf("it is %q", got)
				}
				return nil
			})
		}
	}
	has(watcher.Name, "observer")
	must(t, c, first, "peers", "promote", watcher.Name)
	has(watcher.Name, "follower")
	target := c.Followers()[0]
	must(t, c, first, "peers", "transfer", target.Name)
	has(target.Name, "leader")

	// The leader itself is removed, asked for through another peer.
	through := c.Followers()[0]
	target.Doom()
	must(t, c, through, "peers", "remove", target.Name)
	if err := target.AwaitExit(cluster.Patience); err != nil {
		t.Errorf("%s was removed: %v", target.Name, err)
	} else if !strings.Contains(target.Log(), "removed") {
		t.Errorf("%s does not say why it ended", target.Name)
	}
	has(target.Name, "")
	for _, p := range c.Running() {
		eventually(t, "pushes through "+p.Name, func() error { return pushes(p.Client) })
	}
	// Its name is free for a new machine with an empty directory.
	if err := os.RemoveAll(target.Dir); err != nil {
		t.Fatal(err)
	}
	target.Launch()
	has(target.Name, "follower")

	for _, row := range []struct{ args, word string }{
		{"peers remove nobody", "nobody"},
		{"peers promote nobody", "nobody"},
		{"peers promote " + first.Name, first.Name + " has a vote already"},
		{"peers transfer nobody", "nobody"},
	} {
		out, said, status := operate(t, c, first, strings.Fields(row.args)...)
		if status != 1 || !strings.Contains(said, row.word) || strings.Count(said, "\n") != 1 || out != "" {
			t.Errorf("vera %s: %d %s%s", row.args, status, out, said)
		}
	}
}

func TestTheAdminTokenIsAskedFor(t *testing.T) {
	t.Parallel()
	c := cluster.Prepare(t, 1, cluster.Options{})
	_, said, status := run(t, c.Binary(), "peers", "--server", "http://127.0.0.1:1", "--admin-token-file", filepath.Join(t.TempDir(), "none"))
	if status != 1 || !strings.Contains(said, "--admin-token-file") {
		t.Errorf("%d %s", status, said)
	}
}

func TestSecretIsMadeForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	bin := cluster.Prepare(t, 0, cluster.Options{}).Binary()
	name := filepath.Join(t.TempDir(), "secret")
	if out, said, status := run(t, bin, "secret", name); status != 0 || out != "" {
		t.Errorf("%d %s%s", status, out, said)
	}
	text, err := os.ReadFile(name)
	info, err2 := os.Stat(name)
	if err != nil || err2 != nil || info.Mode().Perm() != 0o600 || len(strings.TrimSpace(string(text))) != 43 {
		t.Errorf("%q, %v, %v %v", text, info, err, err2)
	}
	if _, said, status := run(t, bin, "secret", name); status != 1 || !strings.Contains(said, name) {
		t.Errorf("again: %d %s", status, said)
	}
	if again, _ := os.ReadFile(name); string(again) != string(text) {
		t.Error("a secret in use was written over")
	}
	out, _, status := run(t, bin, "secret")
	if status != 0 || len(strings.TrimSpace(out)) != 43 || out == string(text) {
		t.Errorf("%d %s", status, out)
	}
}
