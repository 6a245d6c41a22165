package elections

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"vera/test/cluster"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	cluster.RemoveBuilds()
	os.Exit(code)
}
