package cluster

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main is what a package's TestMain does: it runs the tests, fails if they left
// goroutines behind, deletes what was built, and ends the process.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	removeBuilds()
	os.Exit(code)
}
