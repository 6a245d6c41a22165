package ws

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"vera"
)

func TestReadingAList(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	first := p.push("/data/a b/ä", vera.SessionID{}, "1.2.3.4", `{"n":1.10}`)
	second := p.push("/data/a b/ä", vera.SessionID{}, "1.2.3.4", `{}`)
	item := fmt.Sprintf(`{"version":%d,"owner":"1.2.3.4","data":{"n":1.10}}`, first)
	for target, want := range map[string]string{
		"/data/a%20b/%c3%a4?limit=1":                         fmt.Sprintf(`{"code":"OK","index":%d,"etag":"%[1]d","total":2,"items":[%s]}`, second, item),
		"/data/a%20b/ä?limit=1&consistent=true&minIndex=12":  fmt.Sprintf(`{"code":"OK","index":%d,"etag":"%[1]d","total":2,"items":[%s]}`, second, item),
		"/data/a%20b/ä?limit=0":                              fmt.Sprintf(`{"code":"OK","index":%d,"etag":"%[1]d","total":2,"items":[]}`, second),
		"/data/a%20b/ä?limit=18446744073709551615&version=0": fmt.Sprintf(`{"code":"OK","index":%d,"etag":"%[1]d","items":[%s,{"version":%[1]d,"owner":"1.2.3.4","data":{}}]}`, second, item),
		"/data/nothing?unknown=parameter":                    fmt.Sprintf(`{"code":"OK","index":%d,"etag":"0","items":[]}`, second),
		"/vera/peers":                                        fmt.Sprintf(`{"code":"OK","index":%d,"etag":"0","items":[]}`, second),
	} {
		answer := ask(t, p.addr, p.get(target))
		if answer.StatusCode != 200 || answer.body != want {
			t.Errorf("%s: %d\n%s\n%s", target, answer.StatusCode, answer.body, want)
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "Vera-Index": fmt.Sprint(second), "Vera-Leader": "a", "Vera-Last-Contact": "3", "Cache-Control": "no-cache", "Set-Cookie": ""} {
			if got := answer.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", target, name, got, value)
			}
		}
		if etag := answer.Header.Get("ETag"); !strings.Contains(want, `"etag":`+etag) {
			t.Errorf("%s: ETag %s", target, etag)
		}
		if vary := strings.Join(answer.Header.Values("Vary"), ", "); vary != "Origin, Accept" {
			t.Errorf("Vary %q", vary)
		}
		head := ask(t, p.addr, strings.Replace(p.get(target), "GET", "HEAD", 1))
		if head.StatusCode != 200 || head.body != "" || head.ContentLength != int64(len(want)) || head.Header.Get("ETag") != answer.Header.Get("ETag") {
			t.Errorf("HEAD %s: %v", target, head)
		}
	}
}

func TestConditionalReads(t *testing.T) {
	p := newPeer(t, nil)
	etag := p.push("/data/x", vera.SessionID{}, "", `{}`)
	own := fmt.Sprintf(`"%d"`, etag)
	for _, test := range []struct {
		path, match string
		status      int
	}{
		{"/data/x", own, 304}, {"/data/x", "W/" + own, 304}, {"/data/x", `"1", ` + own, 304}, {"/data/x", "*", 304},
		{"/data/x", `"0"`, 200}, {"/data/x", fmt.Sprint(etag), 200}, {"/data/x", `"1"`, 200},
		// an empty list is unchanged only for who knows that it is empty
		{"/data/empty", own, 200}, {"/data/empty", "*", 200}, {"/data/empty", `"0"`, 304},
	} {
		answer := ask(t, p.addr, p.get(test.path, "If-None-Match: "+test.match))
		if answer.StatusCode != test.status || answer.Header.Get("ETag") == "" || answer.Header.Get("Vera-Index") == "" {
			t.Errorf("%v: %v", test, answer)
		}
		if test.status == 304 && answer.body != "" {
			t.Errorf("304 with %q", answer.body)
		}
	}
}

func TestLongPoll(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	etag := p.push("/data/x", vera.SessionID{}, "", `{}`)
	began := time.Now()
	answer := ask(t, p.addr, p.get("/data/x?wait=200ms", fmt.Sprintf(`If-None-Match: "%d"`, etag)))
	if took := time.Since(began); answer.StatusCode != 304 || took < 200*time.Millisecond {
		t.Errorf("%d after %v", answer.StatusCode, took)
	}
	if answer := ask(t, p.addr, p.get("/data/x?wait=30s", `If-None-Match: "1"`)); answer.StatusCode != 200 {
		t.Errorf("%d for an old etag", answer.StatusCode)
	}
	for path, match := range map[string]string{"/data/x": fmt.Sprint(etag), "/data/empty": "0"} {
		answers := make(chan reply)
		go func() { answers <- ask(t, p.addr, p.get(path+"?wait=30s&limit=1", `If-None-Match: "`+match+`"`)) }()
		until(t, "the poll waits", func() bool { return p.server.waiting() == 1 })
		p.push("/data/other", vera.SessionID{}, "", `{}`)
		fresh := p.push(vera.Path(path), vera.SessionID{}, "", `{}`)
		if answer := <-answers; answer.StatusCode != 200 || answer.Header.Get("ETag") != fmt.Sprintf(`"%d"`, fresh) {
			t.Errorf("%s: %v %s", path, answer, answer.body)
		}
	}
}

// waiting counts the visits under way.
func (s *Server) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visits
}

func TestAClientThatLeavesEndsItsPoll(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	for _, send := range []string{p.get("/data/x?wait=30s", `If-None-Match: "0"`), p.get("/data/x", "Accept: text/event-stream")} {
		conn := dial(t, p.addr)
		_, _ = io.WriteString(conn, send)
		until(t, "it waits", func() bool { return p.server.waiting() == 1 })
		_ = conn.Close()
		until(t, "it is over", func() bool { return p.server.waiting() == 0 })
	}
}

// events reads a stream of events.
type events struct {
	t testing.TB
	r *bufio.Reader
}

func (p *peer) events(t testing.TB, target string, more ...string) (*events, *http.Response) {
	t.Helper()
	conn := dial(t, p.addr)
	_, _ = io.WriteString(conn, p.get(target, append(more, "Accept: text/event-stream")...))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v %v", response, err)
	}
	return &events{t, bufio.NewReader(response.Body)}, response
}

// next returns the next event, its lines joined, without comments.
func (e *events) next() string {
	e.t.Helper()
	for event := ""; ; {
		line, err := e.r.ReadString('\n')
		if err != nil {
			e.t.Fatalf("%q, %v", event, err)
		}
		switch {
		case line == "\n" && event != "":
			return event
		case line != "\n" && line[0] != ':' && !strings.HasPrefix(line, "retry:"):
			event += strings.TrimSuffix(line, "\n") + "|"
		}
	}
}

func TestAStreamOfEvents(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	first := p.push("/data/x", vera.SessionID{}, "o", `{}`)
	stream, response := p.events(t, "/data/x")
	item := func(version uint64) string { return fmt.Sprintf(`{"version":%d,"owner":"o","data":{}}`, version) }
	want := fmt.Sprintf(`event: notify|id: %d|data: {"action":"notify","path":"/data/x","index":%[1]d,"etag":"%[1]d","reset":true,"items":[%s]}|`, first, item(first))
	if event := stream.next(); event != want {
		t.Errorf("%s\n%s", event, want)
	}
	second := p.push("/data/x", vera.SessionID{}, "o", `{}`)
	want = fmt.Sprintf(`event: notify|id: %d|data: {"action":"notify","path":"/data/x","index":%[1]d,"etag":"%[1]d","items":[%s,%s],"added":[%[3]s],"updated":[],"removed":[]}|`, second, item(first), item(second))
	if event := stream.next(); event != want {
		t.Errorf("%s\n%s", event, want)
	}
	if response.Header.Get("Cache-Control") != "no-cache" || response.Header.Get("Vera-Leader") != "a" || response.Header.Get("Vera-Index") == "" {
		t.Errorf("%v", response.Header)
	}
	// Resumed behind the last event: silence until something changes.
	again, _ := p.events(t, "/data/x?limit=3", fmt.Sprintf("Last-Event-ID: %d", second))
	third := p.push("/data/x", vera.SessionID{}, "o", `{}`)
	if event := again.next(); !strings.HasPrefix(event, fmt.Sprintf("event: notify|id: %d|", third)) || strings.Contains(event, "reset") {
		t.Errorf("%s", event)
	}
	// Resumed behind an older one, or from an index that an empty list had: a reset.
	for path, id := range map[string]uint64{"/data/x": first, "/data/empty": third} {
		late, _ := p.events(t, path, fmt.Sprintf("Last-Event-ID: %d", id))
		if event := late.next(); !strings.Contains(event, `"reset":true`) {
			t.Errorf("%s: %s", path, event)
		}
	}
}

func TestAStreamAheadOfThePeer(t *testing.T) {
	p := newPeer(t, func(o *Options) { o.Limits.Leader = 300 * time.Millisecond })
	p.unharmed(t)
	last := p.push("/data/x", vera.SessionID{}, "o", `{}`)
	stream, _ := p.events(t, "/data/x", fmt.Sprintf("Last-Event-ID: %d", last+1)) // answered though nothing is applied
	p.push("/data/x", vera.SessionID{}, "o", `{}`)
	last = p.push("/data/x", vera.SessionID{}, "o", `{}`)
	for event := ""; !strings.Contains(event, fmt.Sprintf("id: %d|", last)); {
		event = stream.next()
	}
	began := time.Now()
	ahead, _ := p.events(t, fmt.Sprintf("/data/x?minIndex=%d", last+1))
	last = p.push("/data/x", vera.SessionID{}, "o", `{}`)
	for event := ""; !strings.Contains(event, fmt.Sprintf("id: %d|", last)); {
		event = ahead.next()
	}
	never, _ := p.events(t, fmt.Sprintf("/data/x?minIndex=%d", last+1000), fmt.Sprintf("Last-Event-ID: %d", last))
	if rest, err := io.ReadAll(never.r); err != nil || string(rest) != ": vera\nretry: 1000\n\n" || time.Since(began) < 300*time.Millisecond {
		t.Errorf("%q %v after %v", rest, err, time.Since(began))
	}
	ask(t, p.addr, p.get("/data/../x", "Accept: text/event-stream", "Last-Event-ID: 9000")).refused(t, 400, vera.InvalidParameter, "path")
}

func TestAQuietStreamIsKeptAliveByComments(t *testing.T) {
	p := newPeer(t, nil)
	p.server.comment = 20 * time.Millisecond
	p.unharmed(t)
	stream, _ := p.events(t, "/data/x")
	stream.next()
	for range 3 {
		line, err := stream.r.ReadString('\n')
		if err != nil || line != ":\n" && line != "\n" {
			t.Errorf("%q %v", line, err)
		}
	}
}

func TestKeepAliveAndPipelining(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	conn := dial(t, p.addr)
	r := bufio.NewReader(conn)
	for range 3 {
		_, _ = io.WriteString(conn, p.get("/data/x"))
		if answer := readReply(t, r, "GET"); answer.StatusCode != 200 {
			t.Error(answer)
		}
	}
	send := ""
	for i := range 200 {
		send += p.get(fmt.Sprint("/data/", i))
	}
	go func() { _, _ = io.WriteString(conn, send+"\r\n"+p.get("/data/last", "Host: again")) }()
	for i := range 200 {
		if answer := readReply(t, r, "GET"); answer.StatusCode != 200 {
			t.Fatalf("%d: %v", i, answer)
		}
	}
	readReply(t, r, "GET").refused(t, 400, vera.InvalidParameter, "Host")
	if _, err := r.ReadByte(); err == nil {
		t.Error("not closed")
	}
}

func TestAnUpgradeOnAConnectionThatServedBefore(t *testing.T) {
	p := newPeer(t, nil)
	p.unharmed(t)
	conn := dial(t, p.addr)
	_, _ = io.WriteString(conn, p.get("/data/x"))
	r := bufio.NewReader(conn)
	readReply(t, r, "GET")
	c := p.over(t, conn, p.upgrade("?graceMs=0")+string(frameOf(1, `{"rid":1,"action":"ping"}`)))
	c.hear()
	_ = c.Close()
}

func TestOtherOrigins(t *testing.T) {
	const listed = "https://good.example"
	p := newPeer(t, func(o *Options) { o.Origins = []string{listed} })
	all := newPeer(t, func(o *Options) { o.Origins = []string{"*"} })
	for _, target := range []string{"/data/x", "/session", "/vera/peers"} {
		answer := ask(t, p.addr, p.get(target, "Origin: "+listed))
		if answer.StatusCode != 200 || answer.Header.Get("Access-Control-Allow-Origin") != listed || answer.Header.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(answer.Header.Get("Access-Control-Expose-Headers"), "Vera-Index") || !strings.HasPrefix(strings.Join(answer.Header.Values("Vary"), ","), "Origin") {
			t.Errorf("%s: %v", target, answer)
		}
		if answer := ask(t, all.addr, all.get(target, "Origin: null")); answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s for all: %v", target, answer)
		}
		if answer := ask(t, p.addr, p.get(target)); answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s without Origin: %v", target, answer)
		}
		preflight := ask(t, p.addr, strings.Replace(p.get(target, "Origin: "+listed, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: if-none-match"), "GET", "OPTIONS", 1))
		if preflight.StatusCode != 204 || preflight.Header.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" || !strings.Contains(preflight.Header.Get("Access-Control-Allow-Headers"), "If-None-Match") {
			t.Errorf("%s: preflight %v", target, preflight)
		}
		if plain := ask(t, p.addr, strings.Replace(p.get(target), "GET", "OPTIONS", 1)); plain.StatusCode != 204 || plain.Header.Get("Allow") != "GET, HEAD, OPTIONS" || plain.Header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: options %v", target, plain)
		}
	}
	p.connect(t, "", "Origin: "+listed)
	all.connect(t, "", "Origin: https://whoever.example")
}

func TestTheRootSaysWhereToGo(t *testing.T) {
	p := newPeer(t, nil)
	answer := ask(t, p.addr, p.get("/"))
	if answer.StatusCode != 200 || !strings.Contains(answer.body, `import("/vera.js")`) || !strings.Contains(answer.body, "http://"+p.addr+"/data/") {
		t.Errorf("%s", answer.body)
	}
}
