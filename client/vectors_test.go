package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vera"
	"vera/test/bubble"

	"github.com/coder/websocket"
)

func readVectors[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	raw, err := os.ReadFile("../test/vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

// same says whether two texts are the same JSON.
func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var values [2]any
	for i, text := range [][]byte{a, b} {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

// The server reads what this client's calls send as the vectors say.
func TestAskVectors(t *testing.T) {
	limits := vera.DefaultLimits(1024)
	for i, v := range readVectors[askVector](t, "asks.json") {
		t.Run(fmt.Sprint(i, " ", v.Call), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				sent := v.call(t)
				if _, err := vera.ParseRequest(sent, &limits); err != nil {
					t.Error(err)
				}
				var fields map[string]json.RawMessage
				if err := json.Unmarshal(sent, &fields); err != nil {
					t.Fatal(err)
				}
				delete(fields, "rid")
				if bytes.Contains(v.Message, []byte(`"once": "*"`)) {
					fields["once"] = []byte(`"*"`)
				}
				if got, err := json.Marshal(fields); err != nil || !same(t, got, v.Message) {
					t.Errorf("sent %s, not %s", got, v.Message)
				}
			})
		})
	}
}

type askVector struct {
	Call, Path string
	Version    uint64
	Data       json.RawMessage
	Options    struct {
		IfMatch    *string
		Limit      *int
		Once       string
		Consistent bool
		MinIndex   uint64
	}
	Message json.RawMessage
}

func (v *askVector) options() (all []Option) {
	if v.Options.IfMatch != nil {
		all = append(all, IfMatch(*v.Options.IfMatch))
	}
	if v.Options.Limit != nil {
		all = append(all, Limit(*v.Options.Limit))
	}
	if v.Options.Once != "" {
		all = append(all, Once(v.Options.Once))
	}
	if v.Options.Consistent {
		all = append(all, Consistent())
	}
	if v.Options.MinIndex != 0 {
		all = append(all, MinIndex(v.Options.MinIndex))
	}
	return all
}

// call has a client make the call, and returns the message.
func (v *askVector) call(t *testing.T) (sent []byte) {
	s := newTheatre(t)
	s.writes = func(p *player, m saying) {
		p.ok(m, `,"index":%d,"etag":"9","version":%d,"items":[]`, s.index+1, v.Version)
	}
	o := s.options()
	var counts atomic.Bool
	o.Trace = func(out bool, message []byte) {
		var m saying
		if !counts.Load() || !out {
			return
		}
		if err := json.Unmarshal(message, &m); err != nil {
			t.Error(err)
		}
		if m.Action == v.Call && m.Path == v.Path {
			sent = message
		}
	}
	c, err := Connect(t.Context(), []string{"http://p"}, o)
	if err != nil {
		t.Fatal(err)
	}
	var h *Handle
	if v.Call == "update" || v.Call == "remove" {
		if h, _, err = c.Push(t.Context(), v.Path, json.RawMessage("{}")); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	counts.Store(true)
	switch v.Call {
	case "push":
		_, _, err = c.Push(t.Context(), v.Path, v.Data, v.options()...)
	case "update":
		_, err = h.Update(t.Context(), v.Data, v.options()...)
	case "remove":
		err = h.Remove(t.Context(), v.options()...)
	case "get":
		_, err = c.Get(t.Context(), v.Path, v.options()...)
	case "watch":
		for _, err = range c.Watch(t.Context(), v.Path, v.options()...) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	counts.Store(false)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return sent
}

// What the server answers is read as the vectors say.
func TestAnswerVectors(t *testing.T) {
	for i, v := range readVectors[answerVector](t, "answers.json") {
		t.Run(fmt.Sprint(i, " ", v.Kind), func(t *testing.T) {
			switch v.Kind {
			case "error":
				v.refusal(t)
			case "listing":
				var l Listing
				v.read(t, &l)
				v.compare(t, l.Index, l.ETag, l.Items, nil, nil, nil)
				if fmt.Sprint(l.Version) != zero(v.Version) || l.Total != v.Total {
					t.Errorf("read %+v", l)
				}
			case "notification":
				var n Notification
				v.read(t, &n)
				v.compare(t, n.Index, n.ETag, n.Items, n.Added, n.Updated, n.Removed)
				if n.Path != v.Path || n.Reset != v.Reset {
					t.Errorf("read %+v", n)
				}
			case "session":
				var s Session
				v.read(t, &s)
				if s.Session != v.Session || s.Resumed != v.Resumed || s.GraceMs != v.GraceMs || s.HeartbeatMs != v.HeartbeatMs || s.Peer != v.Peer || s.Leader != v.Leader ||
					fmt.Sprint(s.Index) != zero(v.Index) || len(s.Items) != len(v.Holds) || len(s.Watches) != len(v.Watches) || s.SafeMs != max(0, int64(v.SafeMs)) {
					t.Errorf("read %+v", s)
				}
			}
		})
	}
}

type answerVector struct {
	Kind, Text, Code, Message, Applied, Owner, Path string
	Index, ETag, Version                            string
	Total                                           int
	Items, Added, Updated, Removed                  []itemVector
	Reset, Resumed                                  bool
	Session, Peer, Leader                           string
	GraceMs, HeartbeatMs                            int64
	SafeMs                                          float64
	Holds, Watches                                  []struct{}
}

type itemVector struct{ Version, Updated, Owner, Session, Data, Reason string }

// zero is a number of the vectors, which may be left out.
func zero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}

func (v *answerVector) read(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(v.Text), into); err != nil {
		t.Fatal(err)
	}
}

func (v *answerVector) refusal(t *testing.T) {
	var e envelope
	v.read(t, &e)
	refused, is := e.refusal().(*vera.Error)
	applied := map[vera.Applied]string{vera.AppliedNo: "no", vera.AppliedUnknown: "unknown"}
	if !is || string(refused.Code) != v.Code || refused.Message != v.Message || applied[refused.Applied] != v.Applied {
		t.Errorf("read %+v", e.refusal())
	}
}

func (v *answerVector) compare(t *testing.T, index uint64, etag string, parts ...[]Item) {
	t.Helper()
	if fmt.Sprint(index) != zero(v.Index) || etag != zero(v.ETag) {
		t.Errorf("index %d, etag %s", index, etag)
	}
	for i, want := range [][]itemVector{v.Items, v.Added, v.Updated, v.Removed} {
		if len(parts[i]) != len(want) || i == 0 && (parts[i] == nil) != (want == nil) {
			t.Errorf("part %d: read %+v", i, parts[i])
			continue
		}
		for n, it := range parts[i] {
			w := want[n]
			if i == 3 {
				w.Owner, w.Data = "", ""
			}
			if v.Owner == "session" && w.Session != "" {
				w.Owner = w.Session
			}
			if fmt.Sprint(it.Version) != w.Version || fmt.Sprint(it.Updated) != zero(w.Updated) || it.Owner != w.Owner || it.Session != w.Session || string(it.Data) != w.Data || it.Reason != w.Reason {
				t.Errorf("read %+v, not %+v", it, w)
			}
		}
	}
}

// A path is written in a URL as the vectors say.
func TestPathVectors(t *testing.T) {
	for _, v := range readVectors[map[string]json.RawMessage](t, "paths.json") {
		var path, url string
		if json.Unmarshal(v["path"], &path) != nil || json.Unmarshal(v["url"], &url) != nil {
			continue // refused, or too long to be written out
		}
		got, err := at("http://p", vera.Path(path).URL(), nil)
		if err != nil || strings.TrimPrefix(got, "http://p") != url {
			t.Errorf("%q is %q in a URL, not %q (%v)", path, got, url, err)
		}
	}
}

// Waits are as long as the vectors let them be.
func TestBackoffVectors(t *testing.T) {
	for _, v := range readVectors[struct {
		Failures, Code int
		Below          time.Duration
	}](t, "backoff.json") {
		below := v.Below * time.Millisecond
		if v.Failures == 0 {
			t.Run(fmt.Sprint("closed with ", v.Code), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) { comesBackWithin(t, vera.CloseCode(v.Code), below) })
			})
			continue
		}
		bound := backoffBound(v.Failures)
		if bound != below {
			t.Errorf("after %d failures: below %v, not %v", v.Failures, bound, below)
		}
		sum, most := time.Duration(0), time.Duration(0)
		for range 1000 {
			wait := jitter(bound)
			sum, most = sum+wait, max(most, wait)
		}
		if mean := sum / 1000; most >= bound || most < bound*9/10 || mean < bound*4/10 || mean > bound*6/10 {
			t.Errorf("below %v: of 1,000 the mean was %v, the longest %v", bound, mean, most)
		}
	}
}

// comesBackWithin closes a client's connection now and then, with a code or,
// for 0 and 1006, without, and looks at how long it waits.
func comesBackWithin(t *testing.T, code vera.CloseCode, below time.Duration) {
	s := newTheatre(t)
	c, err := Connect(t.Context(), []string{"http://p"}, s.options())
	if err != nil {
		t.Fatal(err)
	}
	longest := time.Duration(0)
	for range 50 {
		<-time.After(time.Minute)
		lost := time.Now()
		for _, p := range s.all() {
			if code == vera.CloseGoingAway || code == vera.CloseTryLater {
				go p.socket.Close(websocket.StatusCode(code), "")
			} else {
				_ = p.pipe.Close()
			}
		}
		synctest.Wait()
		for c.State() != StateConnected || len(s.all()) != 1 {
			<-time.After(time.Millisecond)
			synctest.Wait()
		}
		longest = max(longest, time.Since(lost))
	}
	if longest > below || longest < below/2 {
		t.Errorf("closed with %d, it waited for %v at most, which should be random below %v", code, longest, below)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
