package vera

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestParseRequestObeysEachLimit stands at each limit and one beyond, where
// the limits are not the default ones.
func TestParseRequestObeysEachLimit(t *testing.T) {
	push := func(path, data, more string) string {
		return fmt.Sprintf(`{"action":"push","path":%q,"data":%s%s}`, path, data, more)
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		field  string
		code   Code
		limit  int
		set    func(*Limits, int)
		letter func(n int) string // a message of that size
	}{
		{"data", TooLarge, 100, func(l *Limits, n int) { l.Data = n }, func(n int) string { return push("/data/a", `{"a":"`+x(n-8)+`"}`, "") }},
		{"path", InvalidParameter, 50, func(l *Limits, n int) { l.Path = n }, func(n int) string { return push("/data/"+x(n-6), "{}", "") }},
		{"path", InvalidParameter, 3, func(l *Limits, n int) { l.Segments = n }, func(n int) string { return push("/data"+strings.Repeat("/x", n), "{}", "") }},
		{"message", InvalidParameter, 7, func(l *Limits, n int) { l.Depth = n }, func(n int) string {
			return push("/data/a", strings.Repeat(`{"a":`, n-1)+"0"+strings.Repeat("}", n-1), "")
		}},
		{"rid", InvalidParameter, 9, func(l *Limits, n int) { l.RID = n }, func(n int) string { return push("/data/a", "{}", `,"rid":"`+x(n)+`"`) }},
		{"rid", InvalidParameter, 9, func(l *Limits, n int) { l.RID = n }, func(n int) string { return push("/data/a", "{}", `,"rid":-`+strings.Repeat("7", n-1)) }},
		{"once", InvalidParameter, 11, func(l *Limits, n int) { l.Once = n }, func(n int) string { return push("/data/a", "{}", `,"once":"`+x(n)+`"`) }},
	} {
		limits := DefaultLimits(1024)
		c.set(&limits, c.limit)
		if _, err := ParseRequest([]byte(c.letter(c.limit)), &limits); err != nil {
			t.Errorf("%s at its limit: %v", c.field, err)
		}
		_, err := ParseRequest([]byte(c.letter(c.limit+1)), &limits)
		checkRefusal(t, err, c.code, c.field, fmt.Sprint(c.limit))
	}
}

// messages are unlike one another, so that what is left over of one shows.
var messages = []string{
	`{"rid":"a","action":"push","path":"/data/a","data":{"a":1},"ifMatch":"7","once":"k","limit":3}`,
	`{"action":"watch","path":"/data/b","items":false,"since":9}`,
	`{"action":"ping"}`,
	`{"rid":1,"action":"get","path":"/data/c","consistent":true,"minIndex":4,"limit":0}`,
	`{"rid":"cut","action":"push","path":"/data/a","data":{"a":[{"b":`,
	`{"rid":2,"action":"remove","path":"/data/a","version":3}`,
	`[`,
	`{"rid":3,"action":"update","path":"/data/a","version":3,"data":{}}`,
}

// parsed is what became of a message.
type parsed struct {
	request Request
	err     error
}

func TestParseRequestRemembersNothing(t *testing.T) {
	limits := DefaultLimits(1024)
	fresh := make([]parsed, len(messages))
	for i, m := range messages {
		p := new(parser)
		p.message, p.limits = []byte(m), &limits
		fresh[i].request, fresh[i].err = p.request()
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := range 2_000 {
				i := (n*(g+1) + n/7) % len(messages)
				r, err := ParseRequest([]byte(messages[i]), &limits)
				if got := (parsed{r, err}); !reflect.DeepEqual(got, fresh[i]) {
					t.Errorf("%s became %+v, and from a fresh parser %+v", messages[i], got, fresh[i])
					return
				}
			}
		})
	}
	all.Wait()
}

// TestParseRequestAllocatesLittle runs one parser, since the race detector
// makes a pool forget on purpose.
func TestParseRequestAllocatesLittle(t *testing.T) {
	limits := DefaultLimits(1024)
	message := []byte(`{"rid":"17","action":"push","path":"/data/services/web","data":{"host":"10.0.0.1","port":8080},"once":"k"}`)
	p := new(parser)
	got := testing.AllocsPerRun(100, func() {
		p.message, p.limits = message, &limits
		if _, err := p.request(); err != nil {
			t.Fatal(err)
		}
		p.forget()
	})
	if got > 4 { // rid, path, data, once
		t.Errorf("a small push costs %v allocations, at most 4", got)
	}
}

func TestCompactAndDepthTakeStringsAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		json, compacted string
		depth           int
	}{
		{"", "", 0},
		{"1", "1", 0},
		{" { } ", "{}", 1},
		{`{"a" : "b  c"}`, `{"a":"b  c"}`, 1},
		{`[ "\" ]" , "\\" , [ ] ]`, `["\" ]","\\",[]]`, 2},
		{"[\t1,\r\n2 , [3]]", "[1,2,[3]]", 2},
		{`[[],[[]],"[[[["]`, `[[],[[]],"[[[["]`, 3},
		{`{"\\":{"\\\"{":{}}}`, `{"\\":{"\\\"{":{}}}`, 3},
	} {
		if got := string(compact(nil, []byte(c.json))); got != c.compacted {
			t.Errorf("%s compacted is %s, want %s", c.json, got, c.compacted)
		}
		if got := depth([]byte(c.json)); got != c.depth {
			t.Errorf("%s is %d deep, want %d", c.json, got, c.depth)
		}
	}
}
