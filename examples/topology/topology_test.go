package main

import (
	"context"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vera/client"
	"vera/examples/peer"
)

// TestMain is the example itself in the processes that it starts.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-database") {
		main()
		return
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

func TestDemoLosesNoWriteOfADeadPrimary(t *testing.T) {
	if err := topology(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
}

// A primary that was stopped for too long finds its place taken: nobody takes
// anything from it, and it comes back as the last.
func TestStoppedPrimaryChangesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, databases := startAll(t, ctx)
	if err := w.write(ctx, "before"); err != nil {
		t.Fatal(err)
	}
	order := w.look()
	late, process := order[0], databases[order[0].Name].Process
	send(t, process, syscall.SIGSTOP)
	if err := w.write(ctx, "without it"); err != nil {
		t.Fatal(err)
	}
	for _, d := range order[1:] {
		err := post(ctx, d.URL+"/replicate", replication{Fence: late.fence, Writes: []write{{"x", "late"}}})
		if err == nil || !strings.Contains(err.Error(), "earlier primary") {
			t.Errorf("%s answered the late primary's fence with %v", d.Name, err)
		}
	}
	send(t, process, syscall.SIGCONT)
	if err := post(ctx, late.URL+"/write", write{"y", "late"}); err == nil {
		t.Error("the late primary took a write")
	}
	if err := w.await(ctx, func(now []database) bool { return len(now) == 3 && now[2].Name == late.Name }); err != nil {
		t.Fatal(err)
	}
	if err := w.write(ctx, "after"); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.look() {
		if err := try(ctx, func() error { return w.check(ctx, d) }); err != nil {
			t.Error(err)
		}
	}
}

// startAll starts a peer, three databases and a client that follows them.
func startAll(t *testing.T, ctx context.Context) (*writer, map[string]*exec.Cmd) {
	t.Helper()
	p, err := peer.Use(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Connect(ctx, []string{p.URL}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, databases := &writer{vera: c}, map[string]*exec.Cmd{}
	followed := make(chan error, 1)
	go func() { followed <- w.follow(ctx) }()
	t.Cleanup(func() { c.Close(); <-followed })
	for _, name := range []string{"ann", "bob", "cleo"} {
		d, err := peer.Again("-server", p.URL, "-database", name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { peer.End(d) })
		databases[name] = d
	}
	if err := w.await(ctx, func(order []database) bool { return len(order) == 3 }); err != nil {
		t.Fatal(err)
	}
	return w, databases
}

func send(t *testing.T, p *os.Process, s os.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A primary that does not know that its time is over, as no clock would let
// it: what it was asked to write it can't answer, since its standby is the
// primary by now.
func TestStandbyInOfficeRefusesALatePrimary(t *testing.T) {
	standby, late := &store{fence: 9, log: []write{{"a", "1"}}}, &store{fence: 7}
	web := httptest.NewServer(standby.routes())
	defer web.Close()
	late.order = []database{{fence: 7}, {URL: web.URL, fence: 9}}
	late.lead = &leadership{t.Context(), 7, map[uint64]int{}}
	if err := late.write(t.Context(), write{"b", "2"}); err == nil {
		t.Error("a write was answered that nobody will know of")
	}
	if !slices.Equal(standby.log, []write{{"a", "1"}}) {
		t.Errorf("the late primary changed the log to %v", standby.log)
	}
}

func TestAPrimaryWhoseTimeIsOverTakesNoWrite(t *testing.T) {
	web := httptest.NewServer((&store{}).routes()) // would take anything
	defer web.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s := &store{fence: 7, order: []database{{fence: 7}, {URL: web.URL, fence: 9}}, lead: &leadership{over, 7, map[uint64]int{}}}
	if err := s.write(t.Context(), write{"a", "1"}); err == nil {
		t.Error("a write was answered by one that must have stopped")
	}
	s.lead = &leadership{t.Context(), 7, map[uint64]int{}}
	if err := s.write(t.Context(), write{"a", "1"}); err != nil {
		t.Errorf("in time it was refused: %v", err)
	}
}

func TestAPrimaryAloneTakesNoWrite(t *testing.T) {
	alone := &store{fence: 7, order: []database{{fence: 7}}, lead: &leadership{t.Context(), 7, map[uint64]int{}}}
	if err := alone.write(t.Context(), write{"a", "1"}); err == nil {
		t.Error("a write was answered that one database has")
	}
}

func TestReplicateKeepsALogInOrder(t *testing.T) {
	s := &store{}
	a, b, c := write{"a", ""}, write{"b", ""}, write{"c", ""}
	steps := []struct {
		r    replication
		ok   bool
		want []write
	}{
		{replication{5, 0, []write{a}}, true, []write{a}},
		{replication{5, 1, []write{b, c}}, true, []write{a, b, c}},
		{replication{5, 1, []write{b}}, true, []write{a, b, c}},     // overtaken
		{replication{4, 0, []write{a}}, false, []write{a, b, c}},    // late
		{replication{5, 4, []write{a}}, false, []write{a, b, c}},    // a gap
		{replication{6, 1, []write{c}}, false, []write{a, b, c}},    // a new primary that did not begin with all
		{replication{6, 0, []write{a, c}}, true, []write{a, c}},     // as it should
		{replication{5, 0, []write{a, b, c}}, false, []write{a, c}}, // late again
	}
	for i, step := range steps {
		if err := s.replicate(step.r); (err == nil) != step.ok || !slices.Equal(s.log, step.want) {
			t.Errorf("step %d: %v, log %v", i, err, s.log)
		}
	}
}
