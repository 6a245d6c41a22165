package commands

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"vera"
	"vera/client"
	"vera/test/cluster"
)

func TestSessionsAreListedShownAndEnded(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, 1, cluster.Options{})
	p := c.Peers[0]
	holder := call(t, p.Client, client.Options{})
	l, err := holder.Push(within(t), "/data/mine", map[string]int{"n": 1})
	if err == nil {
		_, _, err = holder.Watch(within(t), "/data/others", client.Limit(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := holder.Session(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		ID             string
		Items, Watches int
	}
	if err := json.Unmarshal([]byte(must(t, c, p, "sessions")), &all); err != nil || len(all) != 1 || all[0].ID != s.Session || all[0].Items != 1 || all[0].Watches != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	var one struct{ Holds []client.Held }
	if err := json.Unmarshal([]byte(must(t, c, p, "sessions", "show", s.Session)), &one); err != nil || len(one.Holds) != 1 || one.Holds[0] != (client.Held{Path: "/data/mine", Version: l.Version}) {
		t.Errorf("%+v, %v", one, err)
	}
	if out, _, status := run(t, c.Binary(), "__complete", "sessions", "end", "--server", "http://"+p.Admin,
		"--admin-token-file", filepath.Join(filepath.Dir(p.Dir), "token"), s.Session[:3]); status != 0 || !strings.HasPrefix(out, s.Session+"\t") {
		t.Errorf("completed: %d %s", status, out)
	}
	must(t, c, p, "sessions", "end", s.Session)
	<-holder.Done()
	if closed, is := errors.AsType[*client.Closed](holder.Err()); !is || closed.Code != vera.CloseEnded {
		t.Errorf("its client was closed with %v", holder.Err())
	}
	if out := must(t, c, p, "sessions", "list", "--json"); out != "[]\n" {
		t.Errorf("left: %s", out)
	}
	for _, args := range [][]string{{"show", s.Session}, {"end", s.Session}, {"end", "nobody"}} {
		out, said, status := operate(t, c, p, append([]string{"sessions"}, args...)...)
		if status != 1 || out != "" || strings.Count(said, "\n") != 1 {
			t.Errorf("%v: %d %s%s", args, status, out, said)
		}
	}
}
