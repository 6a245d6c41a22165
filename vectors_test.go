package vera

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// text is a text of the vectors: a string, or an array of pieces.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		return json.Unmarshal(raw, (*string)(t))
	}
	var pieces []json.RawMessage
	if err := json.Unmarshal(raw, &pieces); err != nil {
		return err
	}
	for _, raw := range pieces {
		piece, err := pieceOf(raw)
		if err != nil {
			return err
		}
		*t += text(piece)
	}
	return nil
}

func pieceOf(raw []byte) (piece string, err error) {
	if raw[0] == '"' {
		err = json.Unmarshal(raw, &piece)
		return piece, err
	}
	var p struct {
		Repeat string
		Times  int
		Hex    string
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return "", err
	}
	decoded, err := hex.DecodeString(p.Hex)
	return strings.Repeat(p.Repeat, p.Times) + string(decoded), err
}

// readVectors reads a file of vectors, of which none may have a field that
// nothing here looks at.
func readVectors[T any](t testing.TB, file string) []T {
	t.Helper()
	raw, err := os.ReadFile("test/vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var vectors []T
	if err := decoder.Decode(&vectors); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return vectors
}

type requestVector struct {
	Name    string
	Message text
	Request *struct {
		RID        text
		Action     Action
		Path       Path
		Data       text
		Limit      *int
		Items      *bool
		Consistent bool
		MinIndex   uint64 `json:",string"`
		Since      uint64 `json:",string"`
		Version    uint64 `json:",string"`
		Once       text
		IfMatch    *uint64 `json:",string"`
	}
	Refused *struct {
		Code  Code
		Names string
		Says  string
		RID   text
	}
}

// want returns the request that the vector says.
func (v *requestVector) want() Request {
	w := v.Request
	r := Request{
		Action: w.Action, Path: w.Path, Limit: NoLimit, Items: true, Consistent: w.Consistent,
		MinIndex: w.MinIndex, Since: w.Since, Version: w.Version, Once: string(w.Once),
	}
	if w.RID != "" {
		r.RID = []byte(w.RID)
	}
	if w.Data != "" {
		r.Data = []byte(w.Data)
	}
	if w.Limit != nil {
		r.Limit = *w.Limit
	}
	if w.Items != nil {
		r.Items = *w.Items
	}
	if w.IfMatch != nil {
		r.IfMatch, r.Conditional = *w.IfMatch, true
	}
	return r
}

func TestRequestVectors(t *testing.T) {
	limits := DefaultLimits(1024)
	for _, v := range readVectors[requestVector](t, "requests.json") {
		t.Run(v.Name, func(t *testing.T) {
			got, err := ParseRequest([]byte(v.Message), &limits)
			if v.Refused == nil {
				if err != nil {
					t.Fatal(err)
				}
				if want := v.want(); !reflect.DeepEqual(got, want) {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				return
			}
			checkRefusal(t, err, v.Refused.Code, v.Refused.Names, v.Refused.Says)
			if string(got.RID) != string(v.Refused.RID) {
				t.Errorf("rid %s is to be echoed, want %s", got.RID, v.Refused.RID)
			}
		})
	}
}

// checkRefusal checks that err has the code, names the field and has the word.
func checkRefusal(t *testing.T, err error, code Code, field, word string) {
	t.Helper()
	refusal, ok := err.(*Error)
	if !ok || refusal.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	if name, _, _ := strings.Cut(refusal.Message, ":"); name != field {
		t.Errorf("%q does not name %s", refusal.Message, field)
	}
	if !strings.Contains(refusal.Message, word) {
		t.Errorf("%q lacks %q", refusal.Message, word)
	}
	if len(refusal.Message) > 300 {
		t.Errorf("the message has %d bytes, far more than a person reads", len(refusal.Message))
	}
}

// The messages that clients send are requests that the server accepts.
func TestAskVectors(t *testing.T) {
	limits := DefaultLimits(1024)
	for _, v := range readVectors[struct {
		Call, Path                  string
		Version                     uint64
		Data, Options, Message, May json.RawMessage
	}](t, "asks.json") {
		t.Run(fmt.Sprintf("%s %s %s", v.Call, v.Path, v.Options), func(t *testing.T) {
			r, err := ParseRequest(v.Message, &limits)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Action) != v.Call || string(r.Path) != v.Path || r.Version != v.Version {
				t.Errorf("asks for %+v", r)
			}
		})
	}
}

type pathVector struct {
	In        string
	Text      text
	Path, URL text
	Refused   string
}

func TestPathVectors(t *testing.T) {
	limits := DefaultLimits(1024)
	parsers := map[string]func(string, *Limits) (Path, error){"json": ParsePath, "url": ParseURLPath}
	for _, v := range readVectors[pathVector](t, "paths.json") {
		t.Run(fmt.Sprintf("%s %.40q", v.In, v.Text), func(t *testing.T) {
			path, err := parsers[v.In](string(v.Text), &limits)
			if v.Refused != "" {
				checkRefusal(t, err, InvalidParameter, "path", v.Refused)
				return
			}
			if err != nil || path != Path(v.Path) {
				t.Fatalf("got %q, %v", path, err)
			}
			if path.URL() != string(v.URL) {
				t.Errorf("in a URL it is %s, want %s", path.URL(), v.URL)
			}
		})
	}
}

type itemVector struct {
	Version uint64 `json:",string"`
	Updated uint64 `json:",string"`
	Owner   string
	Session string
	Data    string
	Reason  string
}

func itemsOf(t *testing.T, vectors []itemVector) (items []*Item) {
	t.Helper()
	for _, v := range vectors {
		origin := &Origin{Version: v.Version, Owner: v.Owner, Session: sessionOf(t, v.Session)}
		for origin.Reason.String() != v.Reason {
			origin.Reason++
		}
		items = append(items, &Item{Origin: origin, Updated: v.Updated, Data: []byte(v.Data)})
	}
	return items
}

func sessionOf(t *testing.T, shown string) SessionID {
	t.Helper()
	if shown == "" {
		return SessionID{}
	}
	id, err := ParseSessionID(shown)
	if err != nil {
		t.Fatalf("%s: %v", shown, err)
	}
	return id
}

type answerVector struct {
	Kind, Text, RID                string
	Code                           Code
	Message, Applied, Owner        string
	Index, ETag, Version           uint64 `json:",string"`
	Total                          int
	Items, Added, Updated, Removed []itemVector
	Path                           Path
	Reset, Resumed, Suspended      bool
	Session, Peer, Leader          string
	GraceMs, HeartbeatMs, SafeMs   float64
	Holds                          []heldVector
	Watches                        []watchedVector
}

type heldVector struct {
	Path    Path
	Version uint64 `json:",string"`
}

type watchedVector struct {
	Path  Path
	Limit *int
	Items bool
}

func TestAnswerVectors(t *testing.T) {
	for i, v := range readVectors[answerVector](t, "answers.json") {
		t.Run(fmt.Sprint(i, " ", v.Kind), func(t *testing.T) {
			got := string(v.render(t))
			if got != v.Text {
				t.Errorf("got  %s\nwant %s", got, v.Text)
			}
			if !json.Valid([]byte(got)) {
				t.Error("not JSON")
			}
		})
	}
}

// render writes the answer that the vector describes.
func (v *answerVector) render(t *testing.T) []byte {
	by := map[string]OwnerShown{"": OwnerAddress, "session": OwnerSession}[v.Owner]
	rid, safe := []byte(v.RID), millis(v.SafeMs)
	switch v.Kind {
	case "ok":
		return AppendOK(nil, rid)
	case "error":
		applied := map[string]Applied{"no": AppliedNo, "unknown": AppliedUnknown}[v.Applied]
		return AppendError(nil, rid, &Error{v.Code, v.Message, applied})
	case "listing":
		l := Listing{Index: v.Index, ETag: v.ETag, Total: max(v.Total, len(v.Items)), Shown: len(v.Items)}
		if v.Items != nil {
			l.Items = slices.Values(itemsOf(t, v.Items))
		}
		return AppendListing(nil, rid, v.Code, v.Message, l, v.Version, by)
	case "notification":
		n := Notification{
			Path: v.Path, Index: v.Index, ETag: v.ETag, Reset: v.Reset,
			Added: itemsOf(t, v.Added), Updated: itemsOf(t, v.Updated), Removed: itemsOf(t, v.Removed),
		}
		if v.Items != nil {
			n.Items = slices.Values(itemsOf(t, v.Items))
		}
		return AppendNotification(nil, n, by)
	case "session":
		return AppendSession(nil, rid, v.sessionInfo(t))
	case "ping":
		return AppendPing(nil, rid, safe, v.Index)
	case "state":
		return AppendState(nil, v.Suspended, safe)
	}
	t.Fatalf("unknown kind %q", v.Kind)
	return nil
}

func (v *answerVector) sessionInfo(t *testing.T) SessionInfo {
	s := SessionInfo{
		Session: sessionOf(t, v.Session), Resumed: v.Resumed, Peer: v.Peer, Leader: v.Leader, Index: v.Index,
		Grace: millis(v.GraceMs), Heartbeat: millis(v.HeartbeatMs), Safe: millis(v.SafeMs),
	}
	for _, h := range v.Holds {
		s.Items = append(s.Items, Held(h))
	}
	for _, w := range v.Watches {
		watched := Watched{Path: w.Path, Limit: NoLimit, Items: w.Items}
		if w.Limit != nil {
			watched.Limit = *w.Limit
		}
		s.Watches = append(s.Watches, watched)
	}
	return s
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
