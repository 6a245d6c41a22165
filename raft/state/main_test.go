package state

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

var rewrite = flag.Bool("rewrite", false, "write what the transcripts' commands give now into testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
