package faults

import (
	"os"
	"testing"

	"vera/test/cluster"
)

func TestMain(m *testing.M) {
	if file := os.Getenv("VERA_TEST_FENCED_FILE"); file != "" {
		beat(file) // a command that a test runs by `vera elect`
	}
	cluster.Main(m)
}
