package vera

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// tight are limits that a fuzzer can reach.
func tight() *Limits {
	l := DefaultLimits(1024)
	l.Data, l.Path, l.Segments, l.Depth, l.RID, l.Once = 200, 60, 6, 5, 20, 10
	return &l
}

func FuzzParseRequest(f *testing.F) {
	for _, v := range readVectors[requestVector](f, "requests.json") {
		if len(v.Message) < 1000 {
			f.Add([]byte(v.Message))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		given := bytes.Clone(message)
		r, err := ParseRequest(given, tight())
		if !bytes.Equal(given, message) {
			t.Fatal("the message was written to")
		}
		clear(given) // the request keeps nothing of it
		if r.RID != nil {
			checkRID(t, r.RID, message)
		}
		if err != nil {
			checkMessage(t, err)
			return
		}
		checkBounds(t, r, message)
		again, err := ParseRequest(rebuild(t, r), tight())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

// checkMessage checks that a refusal is one that a client can be told.
func checkMessage(t *testing.T, err error) {
	t.Helper()
	e, ok := err.(*Error)
	if !ok || e.Code != InvalidParameter && e.Code != TooLarge {
		t.Fatalf("%v is no refusal", err)
	}
	field, _, found := strings.Cut(e.Message, ": ")
	if !found || field != "message" && !slices.Contains(fieldNames[:], field) {
		t.Fatalf("%q names no field", e.Message)
	}
	if len(e.Message) > 600 {
		t.Fatalf("a message of %d bytes", len(e.Message))
	}
}

func checkRID(t *testing.T, rid, message []byte) {
	t.Helper()
	var text string
	if json.Unmarshal(rid, &text) == nil && len(text) > 20 || !json.Valid(rid) {
		t.Fatalf("echoes %q", rid)
	}
	if !bytes.Contains(message, rid) {
		t.Fatalf("rid %q is not as it came", rid)
	}
}

// checkBounds checks an accepted request against another reader of JSON.
func checkBounds(t *testing.T, r Request, message []byte) {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(message, &all); err != nil {
		t.Fatalf("accepted what is not JSON: %v", err)
	}
	if depth(message) > 5 || len(r.Data) > 200 || len(r.Once) > 10 || len(r.Path) > 60 || r.Limit < NoLimit {
		t.Fatalf("beyond the limits: %+v", r)
	}
	if r.Data != nil {
		var want bytes.Buffer
		if err := json.Compact(&want, all["data"]); err != nil || want.String() != string(r.Data) || r.Data[0] != '{' {
			t.Fatalf("data %s, want %s, %v", r.Data, want.Bytes(), err)
		}
	}
}

// rebuild writes a message that asks for the same.
func rebuild(t *testing.T, r Request) []byte {
	t.Helper()
	all := map[string]any{"action": r.Action}
	put := func(name string, value any, used bool) {
		if used {
			all[name] = value
		}
	}
	put("rid", json.RawMessage(r.RID), r.RID != nil)
	put("path", r.Path, r.Path != "")
	put("data", json.RawMessage(r.Data), r.Data != nil)
	put("limit", r.Limit, r.Limit != NoLimit)
	put("items", false, !r.Items)
	put("consistent", true, r.Consistent)
	put("minIndex", r.MinIndex, r.MinIndex != 0)
	put("since", r.Since, r.Since != 0)
	put("version", r.Version, r.Action == ActionUpdate || r.Action == ActionRemove)
	put("once", r.Once, r.Once != "")
	var message bytes.Buffer
	encoder := json.NewEncoder(&message)
	encoder.SetEscapeHTML(false) // it would rewrite rid and data, too
	if r.Conditional {
		all["ifMatch"] = string(appendUint(nil, r.IfMatch))
	}
	if err := encoder.Encode(all); err != nil {
		t.Fatal(err)
	}
	return message.Bytes()
}

// pathShape says what a path looks like, in another way than ParsePath does.
var pathShape = regexp.MustCompile(`^/data(/[^/\p{Cc}]+){1,6}$`)

func mayBePath(text string) bool {
	if text == "/vera/peers" {
		return true
	}
	dots := slices.ContainsFunc(strings.Split(text, "/"), func(s string) bool { return s == "." || s == ".." })
	return len(text) <= 60 && utf8.ValidString(text) && pathShape.MatchString(text) && !dots
}

func FuzzParsePath(f *testing.F) {
	for _, v := range readVectors[pathVector](f, "paths.json") {
		f.Add(string(v.Text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := ParsePath(text, tight())
		if (err == nil) != mayBePath(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			checkMessage(t, err)
			return
		}
		if string(path) != text {
			t.Fatalf("%q became %q", text, path)
		}
		if back, err := ParseURLPath(path.URL(), tight()); err != nil || back != path {
			t.Fatalf("%q came back from %s as %q, %v", path, path.URL(), back, err)
		}
		if decoded, err := url.PathUnescape(path.URL()); err != nil || decoded != text {
			t.Fatalf("net/url reads %s as %q, %v", path.URL(), decoded, err)
		}
	})
}

func FuzzParseURLPath(f *testing.F) {
	for _, v := range readVectors[pathVector](f, "paths.json") {
		f.Add(string(v.Text))
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		path, err := ParseURLPath(escaped, tight())
		decoded, broken := url.PathUnescape(escaped)
		slash := strings.Contains(strings.ToLower(escaped), "%2f")
		if want := broken == nil && !slash && mayBePath(decoded); (err == nil) != want {
			t.Fatalf("%q: %v", escaped, err)
		}
		if err != nil {
			checkMessage(t, err)
			return
		}
		if string(path) != decoded {
			t.Fatalf("%q became %q", escaped, path)
		}
		if again, err := ParseURLPath(path.URL(), tight()); err != nil || again != path {
			t.Fatalf("%s became %q, %v", path.URL(), again, err)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, text := range []string{"", "a", "\"\\\x00\n\x7f", "</script>&", "\u2028\u2029\ufffd", "\xff\xc0\xafx\xed\xa0\x80", "日本😀"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := appendString([]byte("x"), text)[1:]
		if strings.ContainsAny(string(got), "<>&\u2028\u2029\n\x7f") || !utf8.Valid(got) {
			t.Fatalf("%q is not safe in a page", got)
		}
		var read, want string
		if err := json.Unmarshal(got, &read); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		theirs, err := json.Marshal(text)
		if err != nil || json.Unmarshal(theirs, &want) != nil || read != want {
			t.Fatalf("%q came back as %q, want %q", text, read, want)
		}
	})
}

func FuzzAppendAnswers(f *testing.F) {
	f.Add("a message", "10.0.0.1", "/data/a", uint64(7), uint64(9), int64(1500), uint8(1))
	f.Add("\xff\"<", "", "\x00", uint64(0), uint64(1<<63), int64(-1), uint8(255))
	f.Fuzz(func(t *testing.T, message, owner, path string, version, index uint64, safe int64, bits uint8) {
		origin := &Origin{Version: version, Session: SessionID{bits}, Owner: owner, Reason: Reason(bits % 5)}
		items := []*Item{{origin, index, []byte(`{}`)}, {origin, 0, []byte(`{"a":[1,2]}`)}}[:bits%3]
		by := OwnerShown(bits % 2)
		l := Listing{Index: index, ETag: version, Total: int(bits), Shown: len(items), Items: slices.Values(items)}
		n := Notification{Path: Path(path), Index: index, ETag: version, Reset: bits%2 == 0, Items: l.Items, Added: items, Updated: items, Removed: items}
		held := slices.Repeat([]Held{{Path(path), version}}, len(items))
		watches := slices.Repeat([]Watched{{Path(path), int(bits) - 1, bits%2 == 0}}, len(items))
		d := time.Duration(safe)
		for _, answer := range [][]byte{
			AppendOK(nil, nil),
			AppendError(nil, []byte(`"r"`), &Error{Code(message), message, Applied(bits % 3)}),
			AppendListing(nil, []byte("-1"), OK, message, l, version, by),
			AppendNotification(nil, n, by),
			AppendSession(nil, nil, SessionInfo{Grace: d, Heartbeat: d, Safe: d, Peer: message, Leader: owner, Index: index, Items: held, Watches: watches}),
			AppendPing(nil, nil, d, index),
			AppendState(nil, bits%2 == 0, d),
		} {
			var read map[string]any
			if err := json.Unmarshal(answer, &read); err != nil || len(read) == 0 || !utf8.Valid(answer) {
				t.Fatalf("%s: %v", answer, err)
			}
		}
	})
}
