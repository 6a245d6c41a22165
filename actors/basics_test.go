package actors

import (
	"testing"

	"vera"
)

func TestPushIsAnsweredWithItsVersion(t *testing.T) {
	y, _ := newSystem(t)
	c := connect(t, y, hello("one"))
	first := c.push("/data/a", `{"n":1}`)
	second := c.push("/data/a", `{"n":2}`)
	if first.Version == 0 || first.Version != first.Index || len(*first.Items) != 1 {
		t.Errorf("first: %+v", first)
	}
	if second.Version <= first.Version || len(*second.Items) != 2 || (*second.Items)[0].Version != first.Version {
		t.Errorf("second: %+v", second)
	}
	c.leave(vera.EndedClean)
}
