package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vera"
)

// The rules of the house. They are alarms: what sets one off wants a new noun,
// not a longer limit.
const (
	maxFileLines     = 400
	maxFunctionLines = 60
)

// mayImport says which rooms of the project a room may import.
var mayImport = map[string][]string{
	"vera":             {},
	"vera/raft/state":  {"vera"},
	"vera/raft/disk":   {"vera"},
	"vera/raft/link":   {"vera/raft/sign"},
	"vera/raft/sign":   {},
	"vera/raft":        {"vera", "vera/raft/state", "vera/raft/disk", "vera/raft/link", "vera/raft/sign"},
	"vera/actors":      {"vera", "vera/raft/state"},
	"vera/ws":          {"vera"},
	"vera/client":      {"vera"},
	"vera/client/js":   {},
	"vera/test":        {"vera", "vera/client", "vera/test/ports"},
	"vera/test/bubble": {},
	"vera/test/ports":  {},
	"vera/test/sim":    {"vera", "vera/raft", "vera/raft/state", "vera/actors", "vera/test"},
	"vera/examples":    {"vera", "vera/client"},
	"vera/cmd/vera":    {"vera", "vera/raft", "vera/raft/state", "vera/actors", "vera/ws", "vera/client", "vera/client/js"},
}

// forTests are rooms that the tests of any room may import.
var forTests = []string{"vera/test/bubble", "vera/test/ports"}

// onlyIn says which rooms alone may import a library.
var onlyIn = map[string][]string{
	"github.com/hashicorp/raft":          {"vera/raft", "vera/raft/disk"},
	"github.com/asynkron/protoactor-go":  {"vera/actors"},
	"github.com/gobwas/ws":               {"vera/ws"},
	"github.com/spf13/cobra":             {"vera/cmd/vera"},
	"github.com/coder/websocket":         {"vera/client", "vera/test"},
	"github.com/go-json-experiment/json": {"vera"},
	"github.com/hashicorp/go-hclog":      {"vera/raft"},
	"github.com/anishathalye/porcupine":  {"vera/test"},
	"github.com/dunglas/httpsfv":         {"vera/raft/sign"},
	"github.com/miekg/dns":               {"vera/examples"},
}

// neverIn says what a room must do without, in code that is not a test.
var neverIn = map[string][]string{
	"vera":            {"time/tzdata", "os", "net", "net/http", "log", "math/rand", "math/rand/v2", "github.com/rs/zerolog"},
	"vera/raft/state": {"time/tzdata", "os", "net", "net/http", "log", "math/rand", "math/rand/v2", "github.com/rs/zerolog"},
	"vera/raft/sign":  {"time/tzdata", "os", "net", "log", "math/rand", "math/rand/v2", "crypto/rand", "github.com/rs/zerolog"},
	"vera/actors":     {"net", "net/http"},
}

// notInTests says what no test calls, and what it does instead.
var notInTests = map[string]string{
	"time.Sleep":    "wait for what you mean, or fake the time with test/bubble",
	"synctest.Test": "call bubble.Test; see test/bubble for why",
}

// source is one Go file of the project.
type source struct {
	path string // from the project's root
	pkg  string // import path of its folder
	test bool
	text string
	set  *token.FileSet
	file *ast.File
}

// sources reads every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	root := ".."
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "node_modules" || name == "testdata" || (strings.HasPrefix(name, ".") && name != "..")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		all = append(all, source{rel, path.Join("vera", filepath.ToSlash(filepath.Dir(rel))), strings.HasSuffix(name, "_test.go"), string(text), set, parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d Go files: looked in the wrong place", len(all))
	}
	return all
}

func TestHouseFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if n := strings.Count(s.text, "\n"); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", s.path, n, maxFileLines)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, at most %d", s.path, f.Name.Name, n, maxFunctionLines)
			}
		}
	}
}

func TestHouseImportsPointUp(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			checkImport(t, s, strings.Trim(spec.Path.Value, `"`), spec.Name)
		}
	}
}

// roomOf returns the room that a package is in: packages below a room belong
// to it, and may import each other.
func roomOf(pkg string) string {
	for room := pkg; room != "vera" && room != "."; room = path.Dir(room) {
		if _, known := mayImport[room]; known {
			return room
		}
	}
	return "vera"
}

func checkImport(t *testing.T, s source, imported string, name *ast.Ident) {
	t.Helper()
	if imported == "vera" || strings.HasPrefix(imported, "vera/") {
		here, there := roomOf(s.pkg), roomOf(imported)
		allowed := here == there || slices.Contains(mayImport[here], there) || s.test && slices.Contains(forTests, there)
		if !allowed {
			t.Errorf("%s: %s must not import %s", s.path, s.pkg, imported)
		}
	}
	for library, rooms := range onlyIn {
		if (imported == library || strings.HasPrefix(imported, library+"/")) && !s.test && !slices.Contains(rooms, roomOf(s.pkg)) {
			t.Errorf("%s: only %v may import %s", s.path, rooms, library)
		}
	}
	if !s.test && slices.Contains(neverIn[roomOf(s.pkg)], imported) {
		t.Errorf("%s: %s does without %s", s.path, s.pkg, imported)
	}
	for library, want := range map[string]string{"github.com/hashicorp/raft": "hraft", "github.com/gobwas/ws": "gobwas"} {
		if imported == library && (name == nil || name.Name != want) {
			t.Errorf("%s: import %s as %s", s.path, library, want)
		}
	}
}

func TestHouseEveryPackageAndExportedNameHasAComment(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if filepath.Base(s.path) == "doc.go" && s.file.Doc != nil {
			documented[s.pkg] = true
		}
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if !documented[s.pkg] {
			t.Errorf("%s: no doc.go with a package comment", s.pkg)
			documented[s.pkg] = true
		}
		for _, d := range s.file.Decls {
			checkComments(t, s, d)
		}
	}
}

func checkComments(t *testing.T, s source, d ast.Decl) {
	t.Helper()
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			t.Errorf("%s: %s has no comment", s.path, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
					t.Errorf("%s: %s has no comment", s.path, spec.Name.Name)
				}
			case *ast.ValueSpec:
				if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					t.Errorf("%s: %s has no comment", s.path, spec.Names[0].Name)
				}
			}
		}
	}
}

// exportedReceiver says whether a stranger can call the function at all.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}

func TestHouseNoInitNoSleepNoVagueNames(t *testing.T) {
	vague := regexp.MustCompile(`(^|[/_.])(util|utils|common|helper|helpers|misc)([/_.]|$)`)
	for _, s := range sources(t) {
		if vague.MatchString(s.path) {
			t.Errorf("%s: name it for what it does", s.path)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init", s.path)
			}
		}
		if !s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := sel.X.(*ast.Ident); ok {
					called := id.Name + "." + sel.Sel.Name
					if instead := notInTests[called]; instead != "" {
						t.Errorf("%s: %s in a test: %s", s.set.Position(n.Pos()), called, instead)
					}
				}
			}
			return true
		})
	}
}

func TestHousePackageVariablesDoNotChange(t *testing.T) {
	all := sources(t)
	vars := map[string]map[string]bool{}
	for _, s := range all {
		if s.test {
			continue
		}
		if vars[s.pkg] == nil {
			vars[s.pkg] = map[string]bool{}
		}
		for _, d := range s.file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						vars[s.pkg][name.Name] = name.Name != "_"
					}
				}
			}
		}
	}
	for _, s := range all {
		if !s.test {
			checkAssignments(t, s, vars[s.pkg])
		}
	}
}

// checkAssignments reports writes to package variables. An identifier that
// the parser resolved to something inside a function is somebody else.
func checkAssignments(t *testing.T, s source, vars map[string]bool) {
	t.Helper()
	target := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.Ident:
				local := x.Obj != nil && s.file.Scope.Lookup(x.Name) != x.Obj
				if vars[x.Name] && !local {
					t.Errorf("%s: package variable %s changes", s.set.Position(x.Pos()), x.Name)
				}
				return
			default:
				return
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					target(e)
				}
			}
		case *ast.IncDecStmt:
			target(n.X)
		}
		return true
	})
}

func TestHouseProtocolNamesEveryActionAndCode(t *testing.T) {
	text := read(t, "../docs/PROTOCOL.md")
	words := []string{}
	for _, c := range vera.Codes() {
		words = append(words, string(c))
	}
	actions := regexp.MustCompile(`Action\w+\s+Action = "(\w+)"`).FindAllStringSubmatch(read(t, "../request.go"), -1)
	if len(actions) < 11 {
		t.Fatalf("found only %d actions in request.go", len(actions))
	}
	for _, a := range actions {
		words = append(words, a[1])
	}
	for _, w := range words {
		if !strings.Contains(text, "`"+w+"`") {
			t.Errorf("docs/PROTOCOL.md lacks `%s`", w)
		}
	}
}

func TestHouseEveryPromiseNamesATestThatExists(t *testing.T) {
	tests := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test {
				tests[f.Name.Name] = true
			}
		}
	}
	named := regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w*`).FindAllString(read(t, "../docs/GUARANTEES.md"), -1)
	if len(named) < 30 {
		t.Fatalf("docs/GUARANTEES.md names only %d tests", len(named))
	}
	for _, name := range named {
		if !tests[name] {
			t.Errorf("docs/GUARANTEES.md names %s, which does not exist", name)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
