package actors

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vera"
)

// listVector is one vector of lists.json, as far as a server has a say in it.
type listVector struct {
	Name   string
	Limit  *int
	Takers map[string]struct{ Limit *int }
	Steps  []listStep
}

type listStep struct {
	Does         []listDoing
	Answer, Told json.RawMessage
	List         []item
	Looks        map[string]*listLook
}

// listLook is what a taker is told at a step.
type listLook struct {
	Reset                 bool
	Items, Added, Updated []uint64
	Removed               []struct {
		Version uint64
		Reason  string
	}
}

// listDoing is what a client does: one of its first five fields says what.
type listDoing struct {
	Push, Update, Remove uint64
	Ends                 string
	Returns              bool

	By, Reason string
	At         uint64
	Data       json.RawMessage
}

func readListVectors(t *testing.T) (all []listVector) {
	t.Helper()
	raw, err := os.ReadFile("../test/vectors/lists.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// The notifications of the vectors are what this server writes, for watches
// that want differences only and for those that want the items too.
func TestListVectors(t *testing.T) {
	for _, v := range readListVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			s := newListStage(t, &v)
			for i, step := range v.Steps {
				for _, d := range step.Does {
					s.do(d)
				}
				if i == 0 {
					s.begin(step)
				} else if step.Told != nil {
					s.told(step)
				}
			}
			s.silence()
		})
	}
}

// listStage is a server with the clients of a vector.
type listStage struct {
	t        *testing.T
	system   *System
	log      *memory
	limit    string // of the watches, as they ask for it
	pushers  map[string]*client
	owner    map[uint64]string // of an item
	brief    *client           // watches with items:false
	whole    *client           // watches with items
	begun    bool
	messages map[*client]int // that were looked at
}

func newListStage(t *testing.T, v *listVector) *listStage {
	s := &listStage{t: t, pushers: map[string]*client{}, owner: map[uint64]string{}, messages: map[*client]int{}}
	s.system, s.log = newSystem(t)
	if v.Limit != nil {
		s.limit = `,"limit":` + string(must(t, *v.Limit))
	}
	for _, step := range v.Steps {
		for _, d := range step.Does {
			if d.By != "" && s.pushers[d.By] == nil {
				s.pushers[d.By] = s.pusher(d.By)
			}
		}
	}
	s.brief, s.whole = s.watcher("brief"), s.watcher("whole")
	return s
}

func must(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pusher connects the session that the vectors call by a letter, and has it
// begin.
func (s *listStage) pusher(letter string) *client {
	id, err := vera.ParseSessionID(strings.Repeat(letter, 25) + "0")
	if err != nil {
		s.t.Fatal(err)
	}
	h := hello("")
	h.Session, h.Grace = id, 0
	c := connect(s.t, s.system, h)
	c.push("/data/elsewhere", "{}")
	return c
}

// watcher connects a client whose watches cost no entry of the log, and which
// reads when it is told to.
func (s *listStage) watcher(name string) *client {
	h := hello(name)
	h.Local = true
	c := newClient(s.t)
	c.slow.Store(s.begun)
	attach(s.t, s.system, h, c)
	return c
}

// pin has the next entry of the log come at an index.
func (s *listStage) pin(index uint64) {
	done := make(chan struct{})
	s.log.with(func() {
		s.log.errands = append(s.log.errands, func() {
			if s.log.index >= index {
				s.t.Errorf("the log is at %d already, %d is to come", s.log.index, index)
			}
			s.log.index = index - 1
			close(done)
		})
	})
	<-done
}

func (s *listStage) do(d listDoing) {
	switch {
	case d.Push != 0:
		s.pin(d.Push)
		s.owner[d.Push] = d.By
		if got := s.pushers[d.By].push("/data/a", string(d.Data)).Version; got != d.Push {
			s.t.Errorf("pushed at %d, not %d", got, d.Push)
		}
	case d.Update != 0:
		s.pin(d.At)
		s.pushers[s.owner[d.Update]].ok(`"action":"update","path":"/data/a","version":%d,"data":%s`, d.Update, d.Data)
	case d.Remove != 0:
		s.pin(d.At)
		s.pushers[s.owner[d.Remove]].ok(`"action":"remove","path":"/data/a","version":%d`, d.Remove)
	case d.Ends != "":
		s.pin(d.At)
		s.end(s.pushers[d.Ends], d.Reason)
	case d.Returns:
		for _, c := range []**client{&s.brief, &s.whole} {
			old := *c
			*c = s.watcher(map[bool]string{true: "brief", false: "whole"}[old == s.brief])
			old.leave(vera.EndedLost)
		}
	}
}

// end has a session end for a reason.
func (s *listStage) end(c *client, reason string) {
	id := c.conn.(*entrance).hello.Session
	switch reason {
	case "closed":
		c.leave(vera.EndedClean)
	case "expired":
		c.leave(vera.EndedLost)
	case "ended":
		if err := s.system.EndSession(s.t.Context(), id); err != nil {
			s.t.Fatal(err)
		}
	}
	eventually(s.t, "the session's end", func() bool { return s.log.machine.Session(id) == nil })
}

// begin has the watchers watch.
func (s *listStage) begin(step listStep) {
	var want struct{ Index uint64 }
	if err := json.Unmarshal(step.Answer, &want); err != nil {
		s.t.Fatal(err)
	}
	if s.log.machine.Applied() < want.Index {
		s.pin(want.Index)
		done := make(chan struct{})
		s.log.Barrier(func(uint64, error) { close(done) })
		<-done
	}
	for _, c := range []*client{s.brief, s.whole} {
		got := c.ok(`"action":"watch","path":"/data/a","items":%v%s`, c == s.whole, s.limit)
		s.compare(got, step, step.Answer)
		c.slow.Store(true)
	}
	s.begun = true
}

// told has the watchers read what came since.
func (s *listStage) told(step listStep) {
	for _, c := range []*client{s.brief, s.whole} {
		seen := len(c.messages())
		eventually(s.t, "a notification", func() bool {
			c.pull(1)
			return len(c.messages()) > seen
		})
		got := c.messages()[seen]
		if (got.Items != nil) != (c == s.whole || got.Reset) {
			s.t.Errorf("items are there or not as they should not be: %+v", got)
		}
		s.compare(got, step, step.Told)
	}
}

// compare says whether a message is the one of the vector, but for its rid and
// for items that only who asked for them is told.
func (s *listStage) compare(got told, step listStep, vector json.RawMessage) {
	s.t.Helper()
	var want told
	if err := json.Unmarshal(vector, &want); err != nil {
		s.t.Fatal(err)
	}
	for _, all := range [][]item{want.Added, want.Updated, want.Removed, step.List} {
		compactAll(s.t, all)
	}
	if got.Items != nil {
		if !slices.EqualFunc(*got.Items, step.List, func(a, b item) bool {
			return a.Version == b.Version && a.Updated == b.Updated && bytes.Equal(a.Data, b.Data)
		}) {
			s.t.Errorf("the list is\n%s, not\n%s", must(s.t, got.Items), must(s.t, step.List))
		}
	}
	if want.Items != nil {
		compactAll(s.t, *want.Items)
	} else {
		got.Items = nil
	}
	got.RID, got.received = "", 0
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("told\n%s, not\n%s", must(s.t, got), must(s.t, want))
	}
}

// compactAll takes the space out of items' data, as the server does.
func compactAll(t *testing.T, items []item) {
	for i := range items {
		if items[i].Data == nil {
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, items[i].Data); err != nil {
			t.Fatal(err)
		}
		items[i].Data = b.Bytes()
	}
}

// silence makes sure that nothing more is told.
func (s *listStage) silence() {
	for _, c := range []*client{s.brief, s.whole} {
		seen := len(c.messages())
		c.slow.Store(false)
		c.ok(`"action":"ping"`)
		if all := c.messages(); len(all) != seen+1 {
			s.t.Errorf("told more than there is to tell: %+v", all[seen:])
		}
	}
}
