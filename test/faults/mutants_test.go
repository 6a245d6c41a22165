package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vera/test/cluster"
	"vera/test/history"
)

// mutant is the product with one line that is wrong.
type mutant struct {
	name     history.Name // of what it does, which the verdict must say
	file     string       // from the project's root
	from, to string
}

// mutants are what the runs would have to find if somebody wrote it.
var mutants = []mutant{
	{
		name: history.StaleRead, file: "raft/raft.go",
		from: "r.proposer.barrier(func(index, _ uint64, err error) { done(index, err) })",
		to:   "done(r.machine.Applied(), nil)",
	},
	{
		name: history.LostItem, file: "raft/state/apply.go",
		from: "	if h == nil {\n		h = &holder{",
		to:   "	if w.index%3 == 0 {\n		return Reply{Code: vera.OK, Version: w.index, List: before}\n	}\n	if h == nil {\n		h = &holder{",
	},
	{
		name: history.ItemOutlivesSession, file: "raft/state/attach.go",
		from: "	d.items.each(-1, func(h holding) bool {\n",
		to:   "	d.items.each(-1, func(h holding) bool {\n		if h.Version%3 == 0 {\n			return true\n		}\n",
	},
	{
		name: history.DoubledPush, file: "raft/state/apply.go",
		from: "if first, used := s.seen[c.Once]; used {",
		to:   "if first, used := s.seen[c.Once]; used && c.Limit < -1 {",
	},
}

// TestMutantsAreCaught: the verdict finds each of four faults of the product in
// every run, and calls it by its name.
func TestMutantsAreCaught(t *testing.T) {
	rounds := 2
	if soak() {
		rounds = 10
	}
	for _, m := range mutants {
		t.Run(string(m.name), func(t *testing.T) {
			c := cluster.Start(t, 3, cluster.Options{Net: true, Bin: m.build(t), Flags: runFlags()})
			for seed := range rounds {
				if wrong := history.Names(run(t, c, uint64(seed+1), cutsOnly())); !slices.Contains(wrong, m.name) {
					t.Errorf("seed %d: not caught, but %v", seed+1, wrong)
				}
			}
		})
	}
}

// cutsOnly are faults after which the one that was cut off is asked what it
// cannot know.
func cutsOnly() []fault {
	return slices.DeleteFunc(faults(), func(f fault) bool { return f.name != "cut off" })
}

// build builds the mutant, from a copy of the file that is laid over the tree.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	original, err := filepath.Abs(filepath.Join("../..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), m.from) != 1 {
		t.Fatalf("%s has changed: the mutant's line is in it %d times: %s", m.file, strings.Count(string(text), m.from), m.from)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	spec, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{changed: []byte(strings.Replace(string(text), m.from, m.to, 1)), overlay: spec} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin, err := cluster.Build("-overlay", overlay)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}
