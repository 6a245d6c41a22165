package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"
)

type repeatVector struct {
	Name  string
	Steps []struct {
		Push, Update, Remove, As, Once string
		Sent                           *[]string
		InAnyOrder                     bool
		Answer, Code                   string
		Version                        uint64
		Applied                        any
		Lost, Back, Resumed            bool
		Done, Failed, Gone             []string
	}
}

// What is sent again after a lost connection is what the vectors say.
func TestRepeatVectors(t *testing.T) {
	for _, v := range readVectors[repeatVector](t, "repeats.json") {
		t.Run(v.Name, func(t *testing.T) { bubble.Test(t, func(t *testing.T) { v.play(t) }) })
	}
}

// author is the client of a vector, whose writes have names.
type author struct {
	t       *testing.T
	theatre *theatre
	client  *Client
	calls   sync.WaitGroup

	mu      sync.Mutex
	sent    []string // since the last look
	under   map[string]func(format string, args ...any)
	keys    map[string]string // once, by the name of the push
	handles map[string]*Handle
	of      map[string]string // of a version, the name of its push
	results map[string]error
}

// name is what a write is called: its data says so, and of a removal whose
// item it removes.
func (a *author) name(m saying) string {
	var data struct{ Name string }
	if m.Action != "remove" {
		if err := json.Unmarshal(m.Data, &data); err != nil {
			a.t.Errorf("sent %+v: %v", m, err)
		}
		return data.Name
	}
	return a.of[fmt.Sprint(m.Version)]
}

// write keeps a write until it is answered.
func (a *author) write(p *player, m saying) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := a.name(m)
	a.sent = append(a.sent, name)
	if key, again := a.keys[name]; m.Action == "push" && (m.Once == "" || again && key != m.Once) {
		a.t.Errorf("%s came with the key %q, and before with %q", name, m.Once, key)
	}
	a.keys[name] = m.Once
	a.under[name] = func(format string, args ...any) { p.say(`{"rid":%s,%s}`, m.RID, fmt.Sprintf(format, args...)) }
}

// call has the client do something that will be answered.
func (a *author) call(name string, do func(context.Context) error) {
	a.calls.Go(func() {
		err := do(context.Background())
		a.mu.Lock()
		defer a.mu.Unlock()
		a.results[name] = err
	})
	synctest.Wait()
}

func (v *repeatVector) play(t *testing.T) {
	s := newTheatre(t)
	c, err := Connect(t.Context(), []string{"http://p"}, s.options())
	if err != nil {
		t.Fatal(err)
	}
	a := &author{
		t: t, theatre: s, client: c, under: map[string]func(string, ...any){}, keys: map[string]string{},
		handles: map[string]*Handle{}, of: map[string]string{}, results: map[string]error{},
	}
	s.writes = a.write
	synctest.Wait()
	for _, step := range v.Steps {
		switch {
		case step.Push != "":
			a.push(step.Push, step.Once)
		case step.Update != "":
			a.call(step.As, func(ctx context.Context) error {
				_, err := a.handles[step.Update].Update(ctx, map[string]string{"name": step.As})
				return err
			})
		case step.Remove != "":
			a.of[fmt.Sprint(a.handles[step.Remove].Version())] = step.As
			a.call(step.As, a.handles[step.Remove].remove)
		case step.Sent != nil:
			a.expectSent(*step.Sent, step.InAnyOrder)
		case step.Answer != "":
			a.answer(step.Answer, step.Code, step.Version, step.Applied)
		case step.Lost:
			s.cut()
			synctest.Wait()
			a.sent = nil
		case step.Back:
			s.back(step.Resumed)
		}
		a.expectResults(step.Done, "", nil)
		a.expectResults(step.Failed, step.Code, step.Applied)
		for _, name := range step.Gone {
			a.settle(func() bool { return a.handles[name].Reason() != "" })
			if a.handles[name].Reason() == "" {
				t.Errorf("%s is not known to be gone", name)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	a.calls.Wait()
}

func (h *Handle) remove(ctx context.Context) error { return h.Remove(ctx) }

func (a *author) push(name, key string) {
	a.call(name, func(ctx context.Context) error {
		var options []Option
		if key != "" {
			options = append(options, Once(key))
		}
		h, _, err := a.client.Push(ctx, theatrePath, map[string]string{"name": name}, options...)
		a.mu.Lock()
		a.handles[name] = h
		if given := a.keys[name]; key != "" && given != key {
			a.t.Errorf("%s came with the key %q, not %q", name, given, key)
		}
		a.mu.Unlock()
		return err
	})
}

// settle waits until something holds or a client has had the time for any try
// to connect, and then a little, in which too much would show. All in fake time.
func (a *author) settle(holds func() bool) {
	for range 200 {
		synctest.Wait()
		a.mu.Lock()
		held := holds()
		a.mu.Unlock()
		if held {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	<-time.After(time.Second)
	synctest.Wait()
}

func (a *author) expectSent(want []string, anyOrder bool) {
	a.t.Helper()
	a.settle(func() bool { return len(a.sent) >= len(want) && len(want) > 0 })
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.sent
	if anyOrder {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	}
	if !slices.Equal(got, want) {
		a.t.Errorf("sent %v, not %v", got, want)
	}
	a.sent = nil
}

func (a *author) answer(name, code string, version uint64, applied any) {
	a.mu.Lock()
	say := a.under[name]
	a.mu.Unlock()
	if say == nil {
		a.t.Fatalf("%s was never sent", name)
	}
	s := a.theatre
	switch {
	case code == "":
		s.mu.Lock()
		s.index = max(s.index, version)
		if version != 0 && !slices.Contains(s.held, version) {
			s.held = append(s.held, version)
		}
		s.mu.Unlock()
		say(`"code":"OK","index":%d,"etag":"1","version":%d,"items":[]`, s.index, version)
	case applied != nil:
		text, err := json.Marshal(applied)
		if err != nil {
			a.t.Fatal(err)
		}
		say(`"code":%q,"message":"no","applied":%s`, code, text)
	default:
		say(`"code":%q,"message":"no"`, code)
	}
	synctest.Wait()
}

func (a *author) expectResults(names []string, code string, applied any) {
	a.t.Helper()
	if len(names) == 0 {
		return
	}
	a.settle(func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { _, is := a.results[name]; return !is })
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		err, is := a.results[name]
		refused, _ := errors.AsType[*vera.Error](err)
		switch {
		case !is || (err == nil) != (code == ""):
			a.t.Errorf("%s: there is a result: %v, %v", name, is, err)
		case code != "" && (refused == nil || string(refused.Code) != code):
			a.t.Errorf("%s failed with %v, not %s", name, err, code)
		case applied == "unknown" && refused.Applied != vera.AppliedUnknown:
			a.t.Errorf("%s failed with %v: what was applied is %v", name, err, refused.Applied)
		}
	}
}
