package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vera/test/cluster"
)

// scenarios is what every client goes through, one after the other on one
// cluster.
var scenarios = []struct {
	name string
	play func(t *testing.T, s *stage)
}{
	{"the leader is killed", leaderKilled},
	{"the peer that it listens to is killed", earsKilled},
	{"its only peer is killed", onlyPeerKilled},
	{"the peer of a local watch is killed", localPeerKilled},
	{"all peers are restarted", allRestarted},
	{"the leader is cut off", leaderCutOff},
	{"the peer that it listens to is cut off", earsCutOff},
	{"peers drain one after the other", allDrain},
	{"frozen for longer than the grace", frozenLong},
	{"frozen for shorter than the grace", frozenShort},
	{"leaders are killed, frozen, cut off", leadersGo},
}

// play plays all scenarios with actors that a command line starts in dir.
func play(t *testing.T, name string, line []string, dir string) {
	c := cluster.Start(t, 3, cluster.Options{Net: true})
	s := &stage{Cluster: c, line: line, dir: dir, here: name}
	for _, scenario := range scenarios {
		cleared := true // by those that -run leaves out
		t.Run(scenario.name, func(t *testing.T) {
			cleared = false
			t.Cleanup(func() { // once its actors are over
				s.leave(t)
				cleared = true
			})
			scenario.play(t, s)
		})
		if !cleared {
			t.Fatal("the next one would begin on a stage that nobody cleared")
		}
	}
}

// TestScenariosInGo plays the scenarios with the Go client.
func TestScenariosInGo(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "actor")
	if out, err := exec.Command("go", "build", "-race", "-o", bin, "./actor").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	play(t, "Go", []string{bin}, "")
}

// TestScenariosInNode20 plays them with the JavaScript client, Node 20 and the package ws.
func TestScenariosInNode20(t *testing.T) {
	bin, err := exec.LookPath("node")
	mustHave(t, "node", err)
	playNode(t, bin, "v20.", "ws")
}

// TestScenariosInTheNewestNode plays them with the JavaScript client and the newest Node that
// npm offers, and nothing else.
func TestScenariosInTheNewestNode(t *testing.T) {
	found, err := filepath.Glob("node_modules/node-linux-*/bin/node")
	if err == nil && len(found) == 0 {
		err = os.ErrNotExist
	}
	mustHave(t, "the newest Node (run npm ci in test/clients)", err)
	bin, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	playNode(t, bin, "v26.")
}

// playNode plays with the JavaScript client, installed as npm would, beside some
// packages.
func playNode(t *testing.T, bin, version string, packages ...string) {
	text, err := exec.Command(bin, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := "Node " + strings.TrimSpace(string(text))
	if !strings.HasPrefix(string(text), version) {
		err = os.ErrNotExist
	}
	mustHave(t, "Node "+version+" ("+name+" is here)", err)
	dir := t.TempDir()
	install(t, dir, "vera", "../../client/js")
	for _, p := range packages {
		_, err := os.Stat("node_modules/" + p)
		mustHave(t, p+" (run npm ci in test/clients)", err)
		install(t, dir, p, "node_modules/"+p)
	}
	program := must[[]byte](t)(os.ReadFile("actor/actor.mjs"))
	if err := os.WriteFile(filepath.Join(dir, "actor.mjs"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	play(t, name, []string{bin, "actor.mjs"}, dir)
}

func install(t *testing.T, dir, name, from string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(dir, "node_modules", name), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// mustHave skips what needs a thing that this machine lacks, and says so. In CI
// that is a failure.
func mustHave(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing: %v", what, err)
	default:
		t.Skipf("SKIPPED, NOT SHOWN: %s is missing: %v", what, err)
	}
}
