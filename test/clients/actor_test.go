package clients

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vera/test/cluster"
)

// actor is a client under test, a process.
type actor struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	said cluster.Journal // on its standard error
	over chan struct{}   // closed when the process is

	mu      sync.Mutex
	rid     int
	waiting map[int]chan Line
	told    map[string]*told // path → what it was told of a watched list
	events  []event          // all others, in their order
	killed  bool             // on purpose
}

// event is something that an actor told, and when that was heard.
type event struct {
	Line
	at time.Time
}

// act starts an actor by a command line.
func act(t testing.TB, name string, line []string, dir string) *actor {
	t.Helper()
	a := &actor{t: t, name: name, over: make(chan struct{}), waiting: map[int]chan Line{}, told: map[string]*told{}}
	a.cmd = exec.Command(line[0], line[1:]...)
	a.cmd.Dir = dir
	a.cmd.Stderr = &a.said
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	a.in = must[io.WriteCloser](t)(a.cmd.StdinPipe())
	out := must[io.ReadCloser](t)(a.cmd.StdoutPipe())
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(a.over)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			a.hear(lines.Bytes())
		}
		err := a.cmd.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		if err != nil && !a.killed {
			t.Errorf("%s: %v\n%s", a.name, err, a.said.String())
		}
	}()
	t.Cleanup(a.finish)
	return a
}

// finish ends the process and tells, if the test failed, what it said.
func (a *actor) finish() {
	_ = a.in.Close() // then it ends, but if it is frozen
	a.signal(syscall.SIGCONT)
	if waitFor(10*time.Second, a.over) != nil {
		a.kill()
		a.t.Errorf("%s: it did not end", a.name)
	}
	if text := a.said.String(); text != "" && (a.t.Failed() || strings.Contains(text, "DATA RACE")) {
		a.t.Errorf("%s said:\n%s", a.name, text)
	}
	for _, told := range a.told {
		if told.wrong != nil {
			a.t.Errorf("%s: was told of %s: %v", a.name, told.path, told.wrong)
		}
	}
	if a.t.Failed() {
		a.tell()
	}
}

// tell prints what it told, for a person who looks for what went wrong.
func (a *actor) tell() {
	lost := 0
	for _, e := range a.events {
		if e.Event == "lost" {
			if lost++; lost > 3 {
				continue
			}
		}
		a.t.Logf("%s at %s: %s", a.name, e.at.Format("05.000"), must[[]byte](a.t)(json.Marshal(e.Line)))
	}
	a.t.Logf("%s told of %d items that they are lost", a.name, lost)
}

func (a *actor) signal(s syscall.Signal) {
	if err := a.cmd.Process.Signal(s); err != nil && !strings.Contains(err.Error(), "finished") {
		a.t.Errorf("%s: %v: %v", a.name, s, err)
	}
}

// kill ends the process as kill -9 does, and waits until it is over.
func (a *actor) kill() {
	a.mu.Lock()
	a.killed = true
	a.mu.Unlock()
	a.signal(syscall.SIGKILL)
	<-a.over
}

// hear takes a line that the actor said.
func (a *actor) hear(text []byte) {
	var l Line
	err := json.Unmarshal(text, &l)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.t.Errorf("%s said %s: %v", a.name, text, err)
	case l.Event == "":
		if a.waiting[l.RID] == nil {
			a.t.Errorf("%s answered what was not asked: %s", a.name, text)
			return
		}
		a.waiting[l.RID] <- l
		delete(a.waiting, l.RID)
	case l.Event == "list" && l.Error == nil:
		a.told[l.List.Path].take(l.List)
	case l.Event == "leads" && len(a.events) > 0 && a.events[len(a.events)-1].Event == "leads":
		last := &a.events[len(a.events)-1] // one event for a time of leading
		last.Before, last.at = l.Before, time.Now()
	default:
		a.events = append(a.events, event{l, time.Now()})
	}
}

// ask has the actor do something and waits for its answer.
func (a *actor) ask(c Command) (Line, error) {
	a.mu.Lock()
	a.rid++
	c.RID = a.rid
	answer := make(chan Line, 1)
	a.waiting[c.RID] = answer
	text, err := json.Marshal(c)
	if err == nil {
		_, err = a.in.Write(append(text, '\n'))
	}
	a.mu.Unlock()
	if err != nil {
		return Line{}, err
	}
	patience := time.NewTimer(2 * cluster.Patience)
	defer patience.Stop()
	select {
	case l := <-answer:
		if l.Error != nil {
			return l, fmt.Errorf("%s: %s: %w", a.name, c.Do, l.Error)
		}
		return l, nil
	case <-a.over:
		return Line{}, fmt.Errorf("%s: %s: %w", a.name, c.Do, errOver)
	case <-patience.C:
		return Line{}, fmt.Errorf("%s: %s: no answer in %v", a.name, c.Do, 2*cluster.Patience)
	}
}

// errNotTold is what is waited for that did not happen yet.
var errNotTold = errors.New("it was not told")

// errOver says that the actor's process ended.
var errOver = errors.New("the process is over")

// Error is the refusal in words.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// must returns what went well, or ends the test.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// push pushes and returns the version.
func (a *actor) push(path string, data any) uint64 {
	a.t.Helper()
	return must[Line](a.t)(a.ask(Command{Do: "push", Path: path, Data: data})).Version
}

// watch watches a list, whose differences are checked from then on.
func (a *actor) watch(path string) *told {
	a.t.Helper()
	a.mu.Lock()
	w := &told{path: path, actor: a}
	a.told[path] = w
	a.mu.Unlock()
	must[Line](a.t)(a.ask(Command{Do: "watch", Path: path}))
	return w
}

func (a *actor) close() {
	a.t.Helper()
	must[Line](a.t)(a.ask(Command{Do: "close"}))
}

// heard returns the events of a kind, in their order.
func (a *actor) heard(kind string) (all []event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Event == kind {
			all = append(all, e)
		}
	}
	return all
}

// await waits for the first event of a kind since a moment.
func (a *actor) await(kind string, since time.Time) (found event) {
	a.t.Helper()
	wait(a.t, a.name+" to tell "+kind, func() error {
		for _, e := range a.heard(kind) {
			if e.at.After(since) {
				found = e
				return nil
			}
		}
		return errNotTold
	})
	return found
}

// wait asks until it holds.
func wait(t testing.TB, what string, holds func() error) {
	t.Helper()
	if err := cluster.Ask(cluster.Patience, holds); err != nil {
		t.Fatalf("waited %v for %s: %v", cluster.Patience, what, err)
	}
}

// waitFor waits until a channel is closed.
func waitFor(patience time.Duration, closed <-chan struct{}) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-closed:
		return nil
	case <-timer.C:
		return fmt.Errorf("not within %v", patience)
	}
}
