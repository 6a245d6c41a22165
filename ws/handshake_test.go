package ws

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"vera"
)

// row is one of what strangers send, and the answer it must get.
type row struct {
	name   string
	send   string
	status int
	code   vera.Code
	words  []string // in the message
}

func TestHostileHandshakes(t *testing.T) {
	p := newPeer(t, func(o *Options) {
		o.Origins = []string{"https://good.example"}
		o.Limits.Leader = 300 * time.Millisecond
	})
	for _, r := range append(p.badHeads(), append(p.badOrigins(), p.badRequests()...)...) {
		t.Run(r.name, func(t *testing.T) {
			p.unharmed(t)
			answer := ask(t, p.addr, r.send)
			answer.refused(t, r.status, r.code, r.words...)
			if answer.Header.Get("Location") != "" {
				t.Error("a redirect")
			}
			switch r.status {
			case 400, 431, 505:
				if strings.HasPrefix(r.name, "head") && !answer.closed {
					t.Error("the connection stays")
				}
			case 405:
				if allow := answer.Header.Get("Allow"); allow == "" || strings.Contains(allow, "HEAD") == strings.Contains(r.name, "/connect") {
					t.Errorf("405 with Allow: %s", allow)
				}
			case 426:
				if strings.Contains(r.name, "Version") && answer.Header.Get("Sec-WebSocket-Version") != "13" {
					t.Error("426 without the version")
				}
			}
		})
	}
	if n := strings.Count(p.logged.String(), "proxy_http_version"); n != 1 {
		t.Errorf("the proxy setting was logged %d times", n)
	}
}

func (p *peer) badHeads() []row {
	host, bad := "Host: "+p.addr, vera.InvalidParameter
	return []row{
		{"head: two Origins", p.upgrade("", "Origin: http://"+p.addr, "Origin: http://"+p.addr), 400, bad, []string{"Origin"}},
		{"head: no Host", lines("GET /data/x HTTP/1.1"), 400, bad, []string{"Host"}},
		{"head: two Hosts", lines("GET /data/x HTTP/1.1", host, host), 400, bad, []string{"Host"}},
		{"head: two Content-Lengths", lines("POST /data/x HTTP/1.1", host, "Content-Length: 1", "Content-Length: 1"), 400, bad, []string{"Content-Length"}},
		{"head: Content-Length with Transfer-Encoding", lines("POST /data/x HTTP/1.1", host, "Content-Length: 1", "Transfer-Encoding: chunked"), 400, bad, []string{"Transfer-Encoding"}},
		{"head: folded", lines("GET /data/x HTTP/1.1", host, "X: a", " b"), 400, bad, []string{"folded"}},
		{"head: bare line feeds", "GET /data/x HTTP/1.1\nHost: x\n\n", 400, bad, nil},
		{"head: GET with a body", lines("GET /data/x HTTP/1.1", host, "Content-Length: 5") + "hello", 400, bad, []string{"body"}},
		{"head: HTTP/1.0 upgrade", strings.Replace(p.upgrade(""), "HTTP/1.1", "HTTP/1.0", 1), 505, bad, []string{"HTTP/1.0"}},
		{"head: HTTP/1.0 upgrade through nginx", lines("GET /connect HTTP/1.0", host, "Connection: close"), 505, bad, []string{"HTTP/1.0"}},
		{"head: HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, bad, nil},
		{"head: 17 KiB", p.get("/data/x", "X: "+strings.Repeat("y", 17<<10)), 431, vera.TooLarge, []string{"16384"}},
		{"head: 8 MB of cookie", p.upgrade("", "Cookie: "+strings.Repeat("y", 8<<20)), 431, vera.TooLarge, []string{"16384"}},
		{"head: 101 lines", p.get("/data/x", strings.Split(strings.Repeat("X: y\n", 100), "\n")[:100]...), 431, vera.TooLarge, []string{"100"}},
		{"head: key given twice", p.upgrade("", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, bad, []string{"Sec-WebSocket-Key"}},
		{"POST to /connect", lines("POST /connect HTTP/1.1", host, "Content-Length: 5") + "hello", 405, bad, []string{"GET"}},
		{"PUT to /connect", strings.Replace(p.upgrade(""), "GET", "PUT", 1), 405, bad, []string{"GET, OPTIONS"}},
		{"POST to a list", lines("POST /data/x HTTP/1.1", host, "Content-Type: application/json", "Content-Length: 2") + "{}", 405, bad, []string{"GET"}},
		{"chunked PUT to a list", lines("PUT /data/x HTTP/1.1", host, "Transfer-Encoding: chunked") + "0\r\n\r\n", 405, bad, nil},
		{"DELETE of a list", lines("DELETE /data/x HTTP/1.1", host), 405, bad, nil},
		{"Version 8", strings.Replace(p.upgrade(""), "Version: 13", "Version: 8", 1), 426, bad, []string{"13"}},
		{"version missing", strings.Replace(p.upgrade(""), "Sec-WebSocket-Version: 13\r\n", "", 1), 400, bad, []string{"Sec-WebSocket-Version"}},
		{"key missing", strings.Replace(p.upgrade(""), "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1), 400, bad, []string{"Sec-WebSocket-Key"}},
		{"key of 3 characters", strings.Replace(p.upgrade(""), "dGhlIHNhbXBsZSBub25jZQ==", "abc", 1), 400, bad, []string{"base64"}},
		{"key that is not base64", strings.Replace(p.upgrade(""), "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!Q==", 1), 400, bad, []string{"base64"}},
		{"no Connection: Upgrade", strings.Replace(p.upgrade(""), "Connection: Upgrade", "Connection: keep-alive", 1), 400, bad, []string{"Connection"}},
		{"another upgrade", strings.Replace(p.upgrade(""), "Upgrade: websocket", "Upgrade: h2c", 1), 400, bad, []string{"Upgrade"}},
		{"no upgrade at all", p.get("/connect"), 426, bad, []string{"WebSocket"}},
		{"unknown subprotocol", p.upgrade("", "Sec-WebSocket-Protocol: chat, vera-9"), 400, bad, []string{"vera-0"}},
	}
}

func (p *peer) badOrigins() (all []row) {
	_, port, _ := strings.Cut(p.addr, ":")
	for _, origin := range []string{"null", "https://evil.example", "https://good.example.evil.com", "https://evilgood.example", "https://good.example:444", "http://good.example",
		"http://127.0.0.1", "http://127.0.0.1:1", "http://localhost:" + port, "http://evil.com/" + p.addr, "http://" + p.addr + "@evil.com", "file://", "good.example", ""} {
		all = append(all,
			row{"origin: " + origin, p.upgrade("", "Origin: "+origin), 403, vera.Forbidden, []string{"Origin"}},
			row{"origin of a read: " + origin, p.get("/data/x", "Origin: "+origin), 403, vera.Forbidden, []string{"Origin"}},
			row{"origin of a cookie: " + origin, p.get("/session", "Origin: "+origin), 403, vera.Forbidden, []string{"Origin"}})
	}
	for _, host := range []string{"evil.com", "evil.com:" + port, "127.0.0.1.evil.com", "localhost.evil.com", "10.0.0.1", "[2001:db8::1]:80", "0.0.0.0"} {
		for _, target := range []string{"/data/x", "/session"} {
			all = append(all, row{"host of " + target + ": " + host, lines("GET "+target+" HTTP/1.1", "Host: "+host), 421, vera.Forbidden, []string{"Host"}})
		}
		all = append(all, row{"host: " + host, strings.Replace(p.upgrade("", "Origin: http://"+host), "Host: "+p.addr, "Host: "+host, 1), 421, vera.Forbidden, []string{"Host"}})
	}
	return all
}

func (p *peer) badRequests() (all []row) {
	for target, words := range map[string]string{
		"/data/../x": "path: a segment must not be", "/data/%2e%2e/x": "path: a segment must not be", "/data/./x": "path: a segment", "/data//x": "path: a segment must not be empty",
		"/data/x/": "path: a segment must not be empty", "/data/a%00b": "path: a segment must not have control", "/data/a%2fb": "path: a segment must not have a slash", "/data/%ff": "path: a segment must be UTF-8",
		"/data/\xff": "path: a segment must be UTF-8", "/data/" + strings.Repeat("x", 5000): "path: 50", "/data" + strings.Repeat("/x", 33): "path: 33 segments", "/data/": "path: a segment must not be empty",
		"/data": "path: begins with", "/data/a%zz": "path: two hexadecimal", "/data/x?limit=-1": "limit: an integer from 0", "/data/x?limit=x": "limit: an integer from 0", "/data/x?limit=1&limit=2": "limit: once",
		"/data/x?wait=1h": "wait: a time such as 30s, from 0s to 55s", "/data/x?wait=x": "wait: a time", "/data/x?wait=-1s": "wait: a time", "/data/x?consistent=maybe": "consistent: true or false",
		"/data/x?minIndex=-1": "minIndex: an integer from 0", "/data/x?minIndex=99999999999999999999": "minIndex: an integer", "/data/x?a=%zz": "query: ", "/data/x?version=1": "version: ", "/session?version=7": "version: ",
	} {
		all = append(all, row{"target " + target[:min(len(target), 40)], p.get(target), 400, vera.InvalidParameter, []string{words}},
			row{"stream of " + target[:min(len(target), 40)], p.get(target, "Accept: text/event-stream"), 400, vera.InvalidParameter, []string{words}})
	}
	for query, words := range map[string]string{
		"?graceMs=-1": "graceMs: an integer from 0 to 600000", "?graceMs=600001": "graceMs: an integer from 0 to 600000", "?graceMs=1.5": "graceMs", "?heartbeatMs=1": "heartbeatMs: an integer from 250 to 600000",
		"?heartbeatMs=600001": "heartbeatMs", "?client=": "client: 1 to 64", "?client=a%20b": "client: 1 to 64", "?client=" + strings.Repeat("x", 65): "client: 1 to 64", "?local=yes": "local: true or false",
		"?notify=0": "notify: true or false", "?version=1": "version: ", "?graceMs=1&graceMs=2": "graceMs: once",
	} {
		all = append(all, row{"connect" + query[:min(len(query), 30)], p.upgrade(query), 400, vera.InvalidParameter, []string{words}})
	}
	return append(all,
		row{"Accept-Version 2", p.get("/data/x", "Accept-Version: 2"), 400, vera.InvalidParameter, []string{"only 0"}},
		row{"Last-Event-ID that is no index", p.get("/data/x", "Accept: text/event-stream", "Last-Event-ID: x"), 400, vera.InvalidParameter, []string{"Last-Event-ID"}},
		row{"a future minIndex", p.get("/data/x?minIndex=9000000000"), 503, vera.Unavailable, nil},
		row{"unknown route", p.get("/nothing"), 404, vera.NotFound, nil},
		row{"two slashes first", p.get("//data/x"), 404, vera.NotFound, nil},
		row{"dots before a route", p.get("/x/../data/x"), 404, vera.NotFound, nil},
		row{"an encoded route", p.get("/%64ata/x"), 404, vera.NotFound, nil},
		row{"the admin's routes", p.get("/metrics"), 404, vera.NotFound, nil})
}

var ours = regexp.MustCompile(`^vera-abcdefgh=([A-Za-z0-9_-]{43}); Path=/; HttpOnly; SameSite=Lax$`)

// cookieOf returns the cookie that an answer sets, as a client sends it.
func cookieOf(t testing.TB, r reply) string {
	t.Helper()
	set := r.Header.Values("Set-Cookie")
	if len(set) != 1 || !ours.MatchString(set[0]) {
		t.Fatalf("cookies %q", set)
	}
	return "Cookie: vera-abcdefgh=" + ours.FindStringSubmatch(set[0])[1]
}

func TestCookiesThatWeNeverMadeAreNeverAdopted(t *testing.T) {
	p := newPeer(t, nil)
	genuine := cookieOf(t, p.connect(t, "").reply)
	value := strings.TrimPrefix(genuine, "Cookie: vera-abcdefgh=")
	raw, _ := base64.RawURLEncoding.DecodeString(value)
	flipped := func(i int) string {
		other := append([]byte(nil), raw...)
		other[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(other)
	}
	for name, line := range map[string]string{
		"none":             "X: y",
		"empty":            "Cookie: vera-abcdefgh=",
		"made up":          "Cookie: vera-abcdefgh=" + base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		"secret alone":     "Cookie: vera-abcdefgh=" + base64.RawURLEncoding.EncodeToString(raw[:16]),
		"secret changed":   "Cookie: vera-abcdefgh=" + flipped(0),
		"proof changed":    "Cookie: vera-abcdefgh=" + flipped(31),
		"4,000 bytes":      "Cookie: vera-abcdefgh=" + strings.Repeat("A", 4000),
		"two":              genuine + "; vera-abcdefgh=" + value,
		"padded":           "Cookie: vera-abcdefgh=" + value + "=",
		"quoted":           `Cookie: vera-abcdefgh="` + value + `"`,
		"another cluster":  "Cookie: vera-zzzzzzzz=" + value,
		"under __Host-":    "Cookie: __Host-vera-abcdefgh=" + value,
		"not strict bits":  "Cookie: vera-abcdefgh=" + value[:42] + "B",
		"in another case":  "Cookie: VERA-abcdefgh=" + value,
		"with other words": "Cookie: a=b; vera-abcdefgh=x" + value,
	} {
		t.Run(name, func(t *testing.T) {
			c := p.connect(t, "", line)
			fresh := cookieOf(t, c.reply)
			if h := p.lastHello(); h.Offered || fresh == genuine {
				t.Errorf("adopted: %+v", h)
			}
			if answer := ask(t, p.addr, p.get("/session", line)); answer.StatusCode != 200 || cookieOf(t, answer) == genuine {
				t.Error("/session adopts it")
			}
		})
	}
	t.Run("ours", func(t *testing.T) {
		for _, line := range []string{genuine, strings.Replace(genuine, ": ", ": a=b; ", 1) + "; c=d"} {
			c := p.connect(t, "", line)
			if h := p.lastHello(); !h.Offered || len(c.Header.Values("Set-Cookie")) != 0 || h.Session != p.hellos[0].Session {
				t.Errorf("not adopted: %+v", h)
			}
			answer := ask(t, p.addr, p.get("/session", line))
			if want := fmt.Sprintf(`"session":%q,"resumed":true`, p.hellos[0].Session); !strings.Contains(answer.body, want) || len(answer.Header.Values("Set-Cookie")) != 0 {
				t.Errorf("/session: %s", answer.body)
			}
		}
	})
	if strings.Contains(p.logged.String(), value) {
		t.Error("a secret was logged")
	}
}

func TestACookieOfAnEndedSessionWorks(t *testing.T) {
	p := newPeer(t, nil)
	first := p.connect(t, "")
	cookie := cookieOf(t, first.reply)
	_, _ = first.Write(frameOf(8, ""))
	_ = first.closing()
	until(t, "the session is over", func() bool { return len(p.ended()) == 1 })
	again := p.connect(t, "", cookie)
	again.say(`{"rid":1,"action":"session"}`)
	if answer := again.hear(); !strings.Contains(answer, `"resumed":false`) || p.lastHello().Session != p.hellos[0].Session {
		t.Error(answer)
	}
}

func TestLabelsGiveSessionsOfTheirOwn(t *testing.T) {
	p := newPeer(t, nil)
	cookie := cookieOf(t, p.connect(t, "").reply)
	seen := map[vera.SessionID]bool{p.lastHello().Session: true}
	for _, label := range []string{"a", "b", "A", "tab-1._Z" + strings.Repeat("9", 56)} {
		p.connect(t, "?client="+label, cookie)
		h := p.lastHello()
		if !h.Offered || seen[h.Session] {
			t.Errorf("%s: %+v", label, h)
		}
		seen[h.Session] = true
		if _, again := p.connect(t, "?client="+label, cookie), p.lastHello(); again.Session != h.Session {
			t.Errorf("%s is not the same twice", label)
		}
	}
}

func TestWhatAClientChooses(t *testing.T) {
	p := newPeer(t, nil)
	p.connect(t, "")
	if h := p.lastHello(); h.Grace != 2*time.Second || h.Heartbeat != 10*time.Second || h.Local || h.Quiet || h.Owner != "127.0.0.1" {
		t.Errorf("by default %+v", h)
	}
	c := p.connect(t, "?graceMs=0&heartbeatMs=250&local=true&notify=false&version=0", "Accept-Version: 0", "Sec-WebSocket-Protocol: vera-9, vera-0", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
	if h := p.lastHello(); h.Grace != 0 || h.Heartbeat != 250*time.Millisecond || !h.Local || !h.Quiet {
		t.Errorf("%+v", h)
	}
	if c.Header.Get("Sec-WebSocket-Protocol") != "vera-0" || c.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("agreed on %v", c.Header)
	}
	c.say(`{"rid":1,"action":"ping"}`)
	if answer := c.hear(); answer != `{"rid":1,"code":"OK","safeMs":0,"index":12}` {
		t.Error(answer)
	}
	for _, origin := range []string{"http://" + p.addr, "HTTP://" + strings.ToUpper(p.addr)} {
		p.connect(t, "", "Origin: "+origin)
	}
}

func TestTheCookieIsOneThatBrowsersTake(t *testing.T) {
	proxied := func(o *Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
	for name, test := range map[string]struct {
		change func(o *Options)
		header string
		set    string // but for its value
	}{
		"plain":               {nil, "X: y", "vera-abcdefgh=; Path=/; HttpOnly; SameSite=Lax"},
		"said to be secure":   {nil, "X-Forwarded-Proto: https", "vera-abcdefgh=; Path=/; HttpOnly; SameSite=Lax"},
		"secure by the proxy": {proxied, "X-Forwarded-Proto: https", "__Host-vera-abcdefgh=; Path=/; HttpOnly; Secure; SameSite=Lax"},
		"plain by the proxy":  {proxied, "X-Forwarded-Proto: http", "vera-abcdefgh=; Path=/; HttpOnly; SameSite=Lax"},
		"a domain":            {func(o *Options) { proxied(o); o.CookieDomain = "vera.example" }, "X-Forwarded-Proto: https", "vera-abcdefgh=; Path=/; Domain=vera.example; HttpOnly; Secure; SameSite=Lax"},
		"pages of other sites": {func(o *Options) { proxied(o); o.CookieSameSite = http.SameSiteNoneMode }, "X-Forwarded-Proto: https",
			"__Host-vera-abcdefgh=; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, test.change)
			for _, answer := range []reply{ask(t, p.addr, p.get("/session", test.header)), p.connect(t, "", test.header).reply} {
				set, cookies := answer.Header.Get("Set-Cookie"), answer.Cookies()
				if len(cookies) != 1 || cookies[0].Valid() != nil || strings.Replace(set, cookies[0].Value, "", 1) != test.set {
					t.Errorf("%s, want %s", set, test.set)
				}
				if again := ask(t, p.addr, p.get("/session", test.header, "Cookie: "+strings.Split(set, ";")[0])); again.Header.Get("Set-Cookie") != "" {
					t.Error("not known again")
				}
			}
		})
	}
}

func TestThereIsNoHeadOfAWebSocket(t *testing.T) {
	p := newPeer(t, nil)
	for _, method := range []string{"HEAD", "OPTIONS"} {
		answer := ask(t, p.addr, strings.Replace(p.upgrade(""), "GET", method, 1))
		if want := map[string]int{"HEAD": 405, "OPTIONS": 204}[method]; answer.StatusCode != want || answer.Header.Get("Allow") != "GET, OPTIONS" {
			t.Errorf("%s: %d, Allow: %s", method, answer.StatusCode, answer.Header.Get("Allow"))
		}
	}
}
