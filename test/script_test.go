package test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// maxScript is how many bytes /vera.js may have, compressed by brotli.
const maxScript = 6 << 10

// run runs a program of the Node world, which must succeed, and returns what it
// printed.
func run(t *testing.T, dir string, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	_, err := exec.LookPath(name)
	mustHave(t, name, err == nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	printed, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s\n%s", name, args, err, printed, said.String())
	}
	return printed
}

func TestJavaScriptClient(t *testing.T) {
	run(t, "../client/js", nil, "node", "--test", "test/")
}

// What a peer serves is whole, small, and the client: it is run from there.
func TestServedScript(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	texts := map[string][]byte{}
	for _, name := range []string{"vera.js", "majority.js"} {
		response, err := http.Get(p.url() + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name], err = io.ReadAll(response.Body)
		if closing := response.Body.Close(); err != nil || closing != nil || response.StatusCode != 200 || response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Fatalf("%s: %v, %v", name, response, err)
		}
		if source := read(t, "../client/js/"+name); strings.Count(source, "\n") < bytes.Count(texts[name], []byte("\n")) || !bytes.Contains(texts[name], []byte("export ")) {
			t.Errorf("%s is not the source without its comments", name)
		}
	}
	const measure = `const z = require("zlib"); const text = require("fs").readFileSync(0)
		console.log(z.brotliCompressSync(text, { params: { [z.constants.BROTLI_PARAM_QUALITY]: 11 } }).length)`
	size, err := strconv.Atoi(strings.TrimSpace(string(run(t, ".", texts["vera.js"], "node", "-e", measure))))
	t.Logf("/vera.js: %d bytes, %d compressed by brotli", len(texts["vera.js"]), size)
	if err != nil || size > maxScript || size < maxScript/4 {
		t.Errorf("/vera.js has %d bytes compressed, at most %d: %v", size, maxScript, err)
	}
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	served := node(t, "served.mjs", "VERA="+p.url(), "SCRIPT="+filepath.Join(dir, "vera.js"))
	if !bytes.Contains(served, []byte("works")) {
		t.Errorf("it said %s", served)
	}
}

func TestPackageContents(t *testing.T) {
	t.Parallel()
	var packed []struct {
		Name  string
		Files []struct{ Path string }
	}
	printed := run(t, "../client/js", nil, "npm", "pack", "--dry-run", "--json")
	if err := json.Unmarshal(printed, &packed); err != nil || len(packed) != 1 {
		t.Fatalf("%s: %v", printed, err)
	}
	var names []string
	for _, file := range packed[0].Files {
		names = append(names, file.Path)
	}
	slices.Sort(names)
	if want := []string{"README.md", "majority.js", "package.json", "vera.d.ts", "vera.js"}; packed[0].Name != "vera" || !slices.Equal(names, want) {
		t.Errorf("%s contains %v, want %v", packed[0].Name, names, want)
	}
}

func TestTypesOfTheScript(t *testing.T) {
	t.Parallel()
	compiler, err := filepath.Abs("web/node_modules/.bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(compiler)
	mustHave(t, "typescript (run npm ci in test/web)", err == nil)
	run(t, "web/types", nil, compiler, "--project", ".")
}
