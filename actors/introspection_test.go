package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vera"
)

func TestOperatorsSeeWhatTheActorsDo(t *testing.T) {
	y, _ := newSystem(t)
	c := connect(t, y, hello("one"))
	c.push("/data/a", `{}`)
	c.ok(`"action":"watch","path":"/data/a"`)
	counts := map[string]int{}
	for _, k := range y.Kinds() {
		counts[k.Kind] = k.Actors
		if k.Kind == "connection" && (k.Messages == 0 || k.Deepest == 0) {
			t.Errorf("%+v", k)
		}
	}
	for kind, n := range map[string]int{
		"session-manager": 1, "shard": 4, "watch": 4, "session": 1, "connection": 1, "watch-path": 1, "raft": 1, "introspection": 1,
	} {
		if counts[kind] != n {
			t.Errorf("%d actors of kind %s, want %d", counts[kind], kind, n)
		}
	}
	top := y.Top(3)
	if len(top) != 3 || top[0].Waiting < top[2].Waiting {
		t.Errorf("top: %+v", top)
	}
	tree := y.Tree()
	children := 0
	for _, b := range tree[0].Branches {
		for _, n := range b.Children {
			children += n
		}
	}
	if len(tree) != 3 || len(tree[0].Branches) != 8 || children != 3 {
		t.Errorf("tree: %+v", tree)
	}
	for _, k := range y.kinds.all() {
		for _, b := range k.all() {
			seen, err := y.Actor(t.Context(), b.pid.Id)
			if err != nil || seen.Kind != k.name {
				t.Errorf("%s: %+v %v", b.pid.Id, seen, err)
			}
			if _, err := json.Marshal(seen); err != nil {
				t.Errorf("%s: %v", b.pid.Id, err)
			}
		}
	}
	if _, err := y.Actor(t.Context(), "session-0"); err == nil {
		t.Error("an actor that nobody knows was found")
	}
}

func TestATraceShowsWhatOneActorHandles(t *testing.T) {
	y, _ := newSystem(t)
	c := connect(t, y, hello("one"))
	id := y.kinds.session.all()[0].pid.Id
	events, err := y.Trace(t.Context(), id, 3)
	if err != nil {
		t.Fatal(err)
	}
	traced := make(chan []Event, 1)
	started := make(chan struct{})
	go func() {
		var all []Event
		close(started)
		for _, e := range events {
			all = append(all, e)
		}
		traced <- all
	}()
	<-started
	var all []Event
	eventually(t, "three messages traced", func() bool {
		c.push("/data/a", `{}`)
		select {
		case all = <-traced:
			return true
		default:
			return false
		}
	})
	if len(all) != 3 || all[0].Message != "*actors.call" || all[0].Took <= 0 {
		t.Errorf("traced %+v", all)
	}
	if hook := y.kinds.session.all()[0].hook.Load(); hook != nil {
		t.Error("the trace goes on")
	}
	if _, err := y.Trace(t.Context(), id, maxTrace+1); err == nil {
		t.Error("a trace without end")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if events, err = y.Trace(ctx, id, 1); err != nil {
		t.Fatal(err)
	}
	for range events {
		t.Error("traced something that nobody sent")
	}
}

func TestOperatorsSeeAndEndSessions(t *testing.T) {
	y, l := newSystem(t)
	for i := range 5 {
		connect(t, y, hello(fmt.Sprint("client", i))).push("/data/a", `{}`)
	}
	all := y.Sessions(10)
	if len(all) != 5 || all[0].ID >= all[1].ID || all[0].Items != 1 || all[0].Peers != 1 {
		t.Errorf("sessions: %+v", all)
	}
	second, err := vera.ParseSessionID(all[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	if rest := y.SessionsAfter(second, 2); len(rest) != 2 || rest[0].ID != all[2].ID || rest[1].ID != all[3].ID {
		t.Errorf("behind the second: %+v", rest)
	}
	seen, err := y.SessionOf(t.Context(), second)
	if err != nil || len(seen.Holds) != 1 || seen.Here == nil {
		t.Errorf("one session: %+v %v", seen, err)
	}
	if err := y.EndSession(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if items(l, "/data/a") != 4 {
		t.Error("its item is still there")
	}
	err = y.EndSession(t.Context(), second)
	if refused, ok := errors.AsType[*vera.Error](err); !ok || refused.Code != vera.NotFound {
		t.Errorf("ended twice: %v", err)
	}
}

// value reads one sample of a registry.
func value(t *testing.T, r *prometheus.Registry, name, labels string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var pairs []string
			for _, p := range m.GetLabel() {
				pairs = append(pairs, p.GetName()+"="+p.GetValue())
			}
			if f.GetName() != "vera_"+name || strings.Join(pairs, ",") != labels {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Errorf("no metric %s{%s}", name, labels)
	return 0
}

func TestMetersCount(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	y, _ := newSystem(t, func(o *Options) { o.Metrics = registry })
	c, watcher := connect(t, y, hello("one")), connect(t, y, hello("watcher"))
	answer := watcher.ok(`"action":"watch","path":"/data/a"`)
	c.push("/data/a", `{}`)
	watcher.notified(answer)
	c.push("/data/b", `{}`)
	c.ask(`"action":"push","path":"/data/b","ifMatch":"0","data":{}`)
	c.ask(`nonsense`)
	eventually(t, "the watch is recorded", func() bool { return value(t, registry, "watches", "") == 1 })
	for _, m := range []struct {
		name, labels string
		want         float64
	}{
		{"requests_total", "action=push,code=OK", 2},
		{"requests_total", "action=push,code=PreconditionFailed", 1},
		{"requests_total", "action=invalid,code=InvalidParameter", 1},
		{"request_seconds", "action=push", 3},
		{"request_seconds", "action=ping", 0},
		{"notifications_total", "", 1},
		{"notification_seconds", "", 1},
		{"sessions", "", 2},
		{"lists", "", 2},
		{"items", "", 2},
		{"outbox_bytes", "", 0},
		{"actors", "kind=connection", 2},
		{"actor_restarts_total", "kind=session", 0},
	} {
		if got := value(t, registry, m.name, m.labels); got != m.want {
			t.Errorf("%s{%s} = %v, want %v", m.name, m.labels, got, m.want)
		}
	}
	if value(t, registry, "actor_messages_total", "kind=connection") < 5 || value(t, registry, "mailbox_depth_max", "kind=connection") < 1 {
		t.Error("messages and depths are not counted")
	}
	if _, err := start(y.options, y.log, &memoryFeed{}, shared()); err == nil {
		t.Error("the same metrics twice")
	}
}
