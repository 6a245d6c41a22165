package clients

import (
	"testing"

	"vera/test/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }
