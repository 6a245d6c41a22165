package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// manySessions serves sessions s000, s001 … as the admin listener does.
func manySessions(t *testing.T, n int, asked *[]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.RawQuery)
		limit, _ := strconv.Atoi(r.FormValue("limit"))
		page := []seen{}
		for i := range n {
			if id := fmt.Sprintf("s%03d", i); id > r.FormValue("after") && len(page) < limit {
				page = append(page, seen{ID: id, Items: i, GraceMs: 2000, Peers: i % 3})
			}
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAllSessionsAreListedPageByPage(t *testing.T) {
	var asked []string
	o := &operator{server: manySessions(t, 250, &asked)}
	var ids []string
	for one, err := range o.sessions(t.Context(), 100) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, one.ID)
	}
	if len(ids) != 250 || !slices.IsSorted(ids) || ids[249] != "s249" {
		t.Errorf("%d: %v", len(ids), ids)
	}
	if want := []string{"limit=100", "after=s099&limit=100", "after=s199&limit=100"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	for range o.sessions(t.Context(), 100) {
		break // no further page is asked for
	}
	if len(asked) != 4 {
		t.Errorf("asked %q", asked)
	}
}

func TestSessionsAreShownToPeople(t *testing.T) {
	var asked []string
	o := &operator{server: manySessions(t, 3, &asked)}
	var out strings.Builder
	if err := listSessions(&out, o.sessions(t.Context(), 100), false); err != nil {
		t.Fatal(err)
	}
	want := "SESSION  ITEMS  WATCHES  GRACE  CONNECTED\ns000     0      0        2s     no: in its grace\ns001     1      0        2s     to 1 peer\ns002     2      0        2s     to 2 peers\n"
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
	out.Reset()
	text := `{"id":"s001","life":7,"graceMs":500,"items":1,"watches":1,"peers":1,"holds":[{"path":"/data/a","version":9}],"follows":[{"path":"/data/b","limit":1,"items":true}]}`
	if err := printSession(&out, json.RawMessage(text)); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"session    s001\n", "since      index 7\n", "grace      500ms\n", "holds      /data/a  version 9\n", "watches    /data/b  the first 1\n"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("%q is not in\n%s", words, out.String())
		}
	}
	server := o.server
	for line, words := range map[string]string{"sessions show": "vera: usage", "sessions end a b": "vera: usage", "sessions praise": "praise"} {
		if status, _, errOut := command(append(strings.Fields(line), "--server", server)...); status != 2 || !strings.Contains(errOut, words) {
			t.Errorf("%s: %d %s", line, status, errOut)
		}
	}
	if status, out, _ := command("__complete", "sessions", "show", "--server", server, "s00"); status != 0 || !strings.HasPrefix(out, "s000\t") || strings.Count(out, "\ns00") != 2 {
		t.Errorf("completed: %d %s", status, out)
	}
}
