package state

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var rewrite = flag.Bool("rewrite", false, "write what the transcripts' commands give now into testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
