package head

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"vera"
)

// lines joins lines to a head.
func lines(all ...string) []byte { return []byte(strings.Join(all, "\r\n") + "\r\n\r\n") }

func TestCheckRefuses(t *testing.T) {
	limits := vera.DefaultLimits(100)
	many := make([]string, limits.Lines+1)
	for i := range many {
		many[i] = "X: y"
	}
	for name, test := range map[string]struct {
		head   []byte
		status int
	}{
		"no host":                       {lines("GET / HTTP/1.1"), 400},
		"two hosts":                     {lines("GET / HTTP/1.1", "Host: a", "host: a"), 400},
		"empty host":                    {lines("GET / HTTP/1.1", "Host:"), 400},
		"host with a path":              {lines("GET / HTTP/1.1", "Host: a/b"), 400},
		"two origins":                   {lines("GET / HTTP/1.1", "Host: a", "Origin: http://a", "Origin: http://b"), 400},
		"two lengths":                   {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 1"), 400},
		"length and coding":             {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"), 400},
		"length of words":               {lines("POST / HTTP/1.1", "Host: a", "Content-Length: one"), 400},
		"negative length":               {lines("POST / HTTP/1.1", "Host: a", "Content-Length: -1"), 400},
		"folded line":                   {lines("GET / HTTP/1.1", "Host: a", "X: y", " z"), 400},
		"space before the colon":        {lines("GET / HTTP/1.1", "Host : a"), 400},
		"line without a colon":          {lines("GET / HTTP/1.1", "Host: a", "what"), 400},
		"control character in a value":  {lines("GET / HTTP/1.1", "Host: a", "X: \x00"), 400},
		"return in a value":             {lines("GET / HTTP/1.1", "Host: a", "X: a\rb"), 400},
		"GET with a body":               {lines("GET / HTTP/1.1", "Host: a", "Content-Length: 1"), 400},
		"HEAD with a body":              {lines("HEAD / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"), 400},
		"expectation":                   {lines("GET / HTTP/1.1", "Host: a", "Expect: 100-continue"), 400},
		"key given twice":               {lines("GET / HTTP/1.1", "Host: a", "Sec-WebSocket-Key: a", "Sec-WebSocket-Key: a"), 400},
		"HTTP/1.0 to the WebSocket":     {lines("GET /connect HTTP/1.0", "Host: a"), 505},
		"HTTP/1.0 with upgrade":         {lines("GET /x HTTP/1.0", "Host: a", "Upgrade: websocket"), 505},
		"HTTP/2":                        {lines("PRI * HTTP/2.0"), 505},
		"HTTP/1.2":                      {lines("GET / HTTP/1.2", "Host: a"), 505},
		"no version":                    {lines("GET /", "Host: a"), 400},
		"four words":                    {lines("GET / / HTTP/1.1", "Host: a"), 400},
		"nothing":                       {lines(""), 400},
		"method that is no token":       {lines("G(T / HTTP/1.1", "Host: a"), 400},
		"absolute target":               {lines("GET http://a/ HTTP/1.1", "Host: a"), 400},
		"target without a slash":        {lines("OPTIONS * HTTP/1.1", "Host: a"), 400},
		"half an encoded byte":          {lines("GET /%4 HTTP/1.1", "Host: a"), 400},
		"fragment":                      {lines("GET /a#b HTTP/1.1", "Host: a"), 400},
		"control character in a target": {lines("GET /a\x7f HTTP/1.1", "Host: a"), 400},
		"101 lines":                     {lines(append([]string{"GET / HTTP/1.1"}, many...)...), 431},
		"more than 16 KiB":              {lines("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("y", limits.Head)), 431},
	} {
		t.Run(name, func(t *testing.T) {
			_, refusal := Check(test.head, &limits)
			if refusal == nil || refusal.Status != test.status {
				t.Errorf("%v, want %d", refusal, test.status)
			}
		})
	}
}

func TestCheckAccepts(t *testing.T) {
	limits := vera.DefaultLimits(100)
	for name, test := range map[string]struct {
		head []byte
		want Head
	}{
		"plain":              {lines("GET /data/x?limit=1 HTTP/1.1", "Host: a:1"), Head{Method: "GET", Path: "/data/x"}},
		"IPv6":               {lines("HEAD / HTTP/1.1", "HOST: [::1]:8372"), Head{Method: "HEAD", Path: "/"}},
		"old":                {lines("GET /data/x HTTP/1.0", "Host: a"), Head{Method: "GET", Path: "/data/x", Old: true}},
		"empty body":         {lines("POST /x HTTP/1.1", "Host: a", "Content-Length: 0"), Head{Method: "POST", Path: "/x"}},
		"post":               {lines("POST /x HTTP/1.1", "Host: a", "Content-Length: 5"), Head{Method: "POST", Path: "/x", Body: true}},
		"chunked":            {lines("PUT /x HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"), Head{Method: "PUT", Path: "/x", Body: true}},
		"encoded":            {lines("GET /data/%2e%2E HTTP/1.1", "Host: a"), Head{Method: "GET", Path: "/data/%2e%2E"}},
		"percent in a query": {lines("GET /data/x?a=%zz HTTP/1.1", "Host: a"), Head{Method: "GET", Path: "/data/x"}},
		"raw UTF-8":          {lines("GET /data/\xc3\xa4 HTTP/1.1", "Host: a", "X: \xff"), Head{Method: "GET", Path: "/data/ä"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, refusal := Check(test.head, &limits); refusal != nil || got != test.want {
				t.Errorf("%+v %v, want %+v", got, refusal, test.want)
			}
		})
	}
}

func TestEndFindsTheEndInAnyPortions(t *testing.T) {
	whole := lines("GET / HTTP/1.1", "Host: a")
	stream := append(bytes.Clone(whole), "more\r\n\r\n"...)
	for portion := 1; portion <= len(stream); portion++ {
		seen, found := 0, 0
		for at := portion; found == 0 && at <= len(stream)+portion; at += portion {
			n, refusal := End(stream[:min(at, len(stream))], seen)
			if refusal != nil {
				t.Fatal(refusal)
			}
			seen, found = min(at, len(stream)), n
		}
		if found != len(whole) {
			t.Fatalf("in portions of %d: %d, want %d", portion, found, len(whole))
		}
	}
	if _, refusal := End([]byte("GET / HTTP/1.1\nHost: a\n\n"), 0); refusal == nil || refusal.Status != 400 {
		t.Errorf("bare line feeds: %v", refusal)
	}
}

func TestProxyHeaders(t *testing.T) {
	block := func(command, family byte, addresses ...byte) string {
		return proxyBinary + string([]byte{command, family, 0, byte(len(addresses))}) + string(addresses)
	}
	ip6 := netip.MustParseAddr("2001:db8::7").As16()
	for name, test := range map[string]struct {
		bytes  string
		client string
		n      int
		more   bool
		fails  bool
	}{
		"none":            {bytes: "GET / HTTP/1.1"},
		"nothing yet":     {bytes: "", more: true},
		"half a word":     {bytes: "PRO", more: true},
		"a method":        {bytes: "PROPFIND / HTTP/1.1"},
		"text":            {bytes: "PROXY TCP4 10.9.8.7 10.0.0.1 56324 443\r\nGET", client: "10.9.8.7", n: 40},
		"text, IPv6":      {bytes: "PROXY TCP6 2001:db8::7 ::1 1 2\r\n", client: "2001:db8::7", n: 32},
		"text, unknown":   {bytes: "PROXY UNKNOWN\r\nGET", n: 15},
		"text, faulty":    {bytes: "PROXY TCP4 10.9.8 10.0.0.1 1 2\r\n", fails: true},
		"text, no end":    {bytes: "PROXY TCP4 " + strings.Repeat("1", 100), fails: true},
		"block":           {bytes: block(0x21, 0x11, 10, 9, 8, 7, 1, 1, 1, 1, 0, 1, 0, 2) + "GET", client: "10.9.8.7", n: 28},
		"block, IPv6":     {bytes: block(0x21, 0x21, append(ip6[:], make([]byte, 20)...)...), client: "2001:db8::7", n: 52},
		"block, local":    {bytes: block(0x20, 0x00), n: 16},
		"block, half":     {bytes: block(0x21, 0x11, 10, 9, 8, 7, 1, 1, 1, 1, 0, 1, 0, 2)[:20], more: true},
		"block, version":  {bytes: block(0x31, 0x11), fails: true},
		"block, too long": {bytes: proxyBinary + "\x21\x11\xff\xff", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			client, n, more, err := Proxy([]byte(test.bytes))
			told := ""
			if client.IsValid() {
				told = client.String()
			}
			if told != test.client || n != test.n || more != test.more || (err != nil) != test.fails {
				t.Errorf("%q %d %v %v", told, n, more, err)
			}
		})
	}
}

// FuzzHead checks that net/http takes every head that Check accepts, and reads
// the same out of it.
func FuzzHead(f *testing.F) {
	limits := vera.DefaultLimits(100)
	f.Add([]byte("GET /data/x?limit=1 HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n"))
	f.Add([]byte("POST /connect HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("GET /%2e%2e//x HTTP/1.0\r\nHost: [::1]\r\nCookie: a=b\r\n\r\n"))
	f.Add([]byte("PROXY TCP4 10.9.8.7 10.0.0.1 56324 443\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		if _, n, _, err := Proxy(stream); err == nil && n > len(stream) {
			t.Fatalf("a PROXY header of %d bytes in %d", n, len(stream))
		}
		n, refusal := End(stream, 0)
		if refusal != nil || n == 0 {
			return
		}
		h, refusal := Check(stream[:n], &limits)
		if refusal != nil {
			if refusal.Err.Message == "" || refusal.Status < 400 {
				t.Fatalf("%+v", refusal)
			}
			return
		}
		raw := stream[:n]
		if h.Body {
			raw = WithoutBody(raw)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(bytes.Clone(raw), "next"...))))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", raw, err)
		}
		path, _, _ := strings.Cut(r.RequestURI, "?")
		if r.Method != h.Method || path != h.Path || r.Host == "" || r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
			t.Fatalf("%q: %+v, but net/http has %+v", raw, h, r)
		}
	})
}
