package test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"vera"
	"vera/client"
)

// fetch asks for a route over HTTP and returns the answer with its whole body.
func fetch(t testing.TB, p *peer, method, route string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(within(t, 2*patience), method, p.url()+route, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		request.Header.Add(header[n], header[n+1])
	}
	response, err := quickHTTP().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestHTTPAnswersWhatGetAnswers(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t, "ä b", "%25")
	c := call(t, p, client.Options{})
	for n := range 3 {
		c.push(path, number(n))
	}
	for _, options := range [][]client.Option{nil, {client.Limit(1)}, {client.Limit(0)}, {client.Consistent()}} {
		over, err := client.Get(within(t, patience), quickHTTP(), p.url(), path, options...)
		if err != nil {
			t.Fatal(err)
		}
		l := c.get(path, options...)
		if text(over.Items) != text(l.Items) || over.ETag != l.ETag || over.Total != l.Total || over.Index > l.Index {
			t.Errorf("HTTP says %s, the WebSocket %s", text(over), text(l))
		}
		if over.Leader != c.session().Leader || over.LastContact > slack {
			t.Errorf("leader %q, heard from %v ago", over.Leader, over.LastContact)
		}
	}
	response, body := fetch(t, p, "GET", "/data/"+t.Name()+"/none?limit=1")
	if response.Header.Get("ETag") != `"0"` || !strings.Contains(body, `"items":[]`) || response.Header.Get("Vera-Index") == "" || strings.Contains(body, `"rid"`) {
		t.Errorf("an empty list: %v %s", response.Header, body)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		t.Errorf("content type %q", kind)
	}
}

func TestConditionalGet(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	first := c.push(path, number(1))
	response, body := fetch(t, p, "GET", path, "If-None-Match", `"`+first.ETag+`"`)
	if response.StatusCode != http.StatusNotModified || body != "" || response.Header.Get("ETag") != `"`+first.ETag+`"` {
		t.Errorf("unchanged: %s %v %q", response.Status, response.Header, body)
	}
	if response, _ := fetch(t, p, "GET", path, "If-None-Match", `"1", "`+first.ETag+`"`); response.StatusCode != http.StatusNotModified {
		t.Errorf("one of two etags: %s", response.Status)
	}
	c.push(path, number(2))
	response, body = fetch(t, p, "GET", path, "If-None-Match", `"`+first.ETag+`"`)
	if response.StatusCode != http.StatusOK || !strings.Contains(body, `"n":2`) {
		t.Errorf("changed: %s %s", response.Status, body)
	}
	if response, _ := fetch(t, p, "GET", path+"/empty", "If-None-Match", `"17"`); response.StatusCode != http.StatusOK {
		t.Errorf("an empty list and another etag: %s", response.Status)
	}
}

func TestHeadOptionsAndOtherMethods(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	call(t, p, client.Options{}).push(path, number(1))
	response, body := fetch(t, p, "HEAD", path)
	if response.StatusCode != http.StatusOK || body != "" || response.Header.Get("ETag") == "" {
		t.Errorf("HEAD: %s %v %q", response.Status, response.Header, body)
	}
	if response, _ := fetch(t, p, "OPTIONS", path); response.StatusCode/100 != 2 {
		t.Errorf("OPTIONS: %s", response.Status)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		response, _ := fetch(t, p, method, path)
		if allow := response.Header.Get("Allow"); response.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(allow, "GET") {
			t.Errorf("%s: %s, Allow %q", method, response.Status, allow)
		}
	}
	if response, _ := fetch(t, p, "GET", "/elsewhere"); response.StatusCode != http.StatusNotFound {
		t.Errorf("another route: %s", response.Status)
	}
}

func TestPagesOfAllowedOriginsMayRead(t *testing.T) {
	t.Parallel()
	p, path := startPeer(t, "--allowed-origins", "https://app.example"), here(t)
	response, _ := fetch(t, p, "GET", path, "Origin", "https://app.example")
	exposed := strings.ToLower(strings.Join(response.Header.Values("Access-Control-Expose-Headers"), ","))
	if response.Header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(exposed, "vera-index") || !strings.Contains(exposed, "etag") {
		t.Errorf("allowed: %v", response.Header)
	}
	response, _ = fetch(t, p, "OPTIONS", path, "Origin", "https://app.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "if-none-match")
	if allowed := strings.ToLower(response.Header.Get("Access-Control-Allow-Headers")); !strings.Contains(allowed, "if-none-match") {
		t.Errorf("preflight: %v", response.Header)
	}
	response, _ = fetch(t, p, "GET", path, "Origin", "https://evil.example")
	if response.StatusCode != http.StatusForbidden || response.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign: %s %v", response.Status, response.Header)
	}
}

func TestLongPollHoldsTheAnswerUntilTheListChanges(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := call(t, p, client.Options{})
	first := c.push(path, number(1))
	type result struct {
		r   client.Reading
		err error
	}
	answered := make(chan result, 1)
	go func() {
		r, err := client.Get(within(t, patience), quickHTTP(), p.url(), path, client.IfNoneMatch(first.ETag), client.Wait(10*time.Second))
		answered <- result{r, err}
	}()
	select {
	case r := <-answered:
		t.Fatalf("answered before anything changed: %s, %v", text(r.r), r.err)
	case <-time.After(300 * time.Millisecond): // long enough for an answer that would not wait
	}
	second := c.push(path, number(2))
	if r := <-answered; r.err != nil || r.r.Unchanged || r.r.ETag != second.ETag || len(r.r.Items) != 2 {
		t.Errorf("answered %s, %v", text(r.r), r.err)
	}
	start := time.Now()
	r, err := client.Get(within(t, patience), quickHTTP(), p.url(), path, client.IfNoneMatch(second.ETag), client.Wait(700*time.Millisecond))
	if took := time.Since(start); err != nil || !r.Unchanged || took < 700*time.Millisecond || late(start, time.Now(), 700*time.Millisecond) {
		t.Errorf("nothing changed: %s, %v after %v", text(r), err, took)
	}
}

func TestQueriesOutOfRangeAreRefusedByName(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	for query, field := range map[string]string{
		"limit=-1": "limit", "limit=x": "limit", "minIndex=-1": "minIndex", "minIndex=x": "minIndex",
		"wait=1h": "wait", "wait=x": "wait", "consistent=maybe": "consistent", "version=7": "version",
	} {
		response, body := fetch(t, p, "GET", path+"?"+query)
		if response.StatusCode != 400 || !strings.Contains(body, `"InvalidParameter"`) || !strings.Contains(body, field) {
			t.Errorf("%s: %s %s", query, response.Status, body)
		}
	}
	for query, field := range map[string]string{
		"graceMs=-1": "graceMs", "graceMs=600001": "graceMs", "heartbeatMs=1": "heartbeatMs", "heartbeatMs=600001": "heartbeatMs", "version=1": "version",
	} {
		response, body := fetch(t, p, "GET", "/connect?"+query, "Connection", "Upgrade", "Upgrade", "websocket",
			"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		if response.StatusCode != 400 || !strings.Contains(body, field) {
			t.Errorf("%s: %s %s", query, response.Status, body)
		}
	}
}

// stream reads one stream of events.
type stream struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Reader
	stop     context.CancelFunc
	last     string // id of the last event
}

// listen opens a stream of a list's events; last is the Last-Event-ID, or "".
func listen(t testing.TB, p *peer, route, last string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url()+route, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := quickHTTP().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
		t.Fatalf("a stream of events: %s %q", response.Status, kind)
	}
	return &stream{t, response, bufio.NewReader(response.Body), cancel, last}
}

// next returns the next event, which must be a notification whose id is its index.
func (s *stream) next() (n client.Notification, err error) {
	var event, id, data string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return n, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n" || line == "\r\n":
			if data == "" {
				event, id = "", "" // a comment, or retry
				continue
			}
			if err := json.Unmarshal([]byte(data), &n); err != nil {
				return n, err
			}
			if event != string(vera.ActionNotify) || id != text(n.Index) {
				return n, errors.New("the event is " + event + " with id " + id + ": " + data)
			}
			s.last = id
			return n, nil
		case name == "event":
			event = value
		case name == "id":
			id = value
		case name == "data":
			data += value
		}
	}
}
