package ws

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestScripts(t *testing.T) {
	const module = "export const one = 1\n"
	p := newPeer(t, func(o *Options) {
		o.Scripts = map[string][]byte{"/vera.js": []byte(module)}
		o.Inspector = &inspector{}
		o.Origins = []string{"https://good.example"}
	})
	p.unharmed(t)
	for _, listener := range []string{p.addr, p.admin} {
		get := func(method string, headers ...string) reply {
			t.Helper()
			return ask(t, listener, lines(append([]string{method + " /vera.js HTTP/1.1", "Host: " + listener}, headers...)...))
		}
		whole := get("GET", "Origin: https://stranger.example")
		tag := whole.Header.Get("ETag")
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
			"Access-Control-Allow-Origin": "*", "Content-Encoding": "", "Set-Cookie": "",
		} {
			if got := whole.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", listener, name, got, want)
			}
		}
		if whole.StatusCode != 200 || whole.body != module || tag == "" || !strings.Contains(strings.Join(whole.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%s: %v %q", listener, whole, whole.body)
		}
		if head := get("HEAD"); head.StatusCode != 200 || head.body != "" || head.ContentLength != int64(len(module)) || head.Header.Get("ETag") != tag {
			t.Errorf("HEAD: %v", head)
		}
		if same := get("GET", "If-None-Match: "+tag); same.StatusCode != 304 || same.body != "" {
			t.Errorf("If-None-Match: %v", same)
		}
		if other := get("GET", `If-None-Match: "other"`); other.StatusCode != 200 {
			t.Errorf("If-None-Match of another: %v", other)
		}
		if post := get("POST"); post.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %v", post)
		}
		if asked := get("OPTIONS", "Origin: https://stranger.example", "Access-Control-Request-Method: GET"); asked.StatusCode != 204 || asked.Header.Get("Access-Control-Allow-Methods") == "" {
			t.Errorf("OPTIONS: %v", asked)
		}
		zipped := get("GET", "Accept-Encoding: br, gzip;q=0.5")
		z, err := gzip.NewReader(strings.NewReader(zipped.body))
		if err != nil || zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("ETag") == tag {
			t.Fatalf("gzip: %v, %v", zipped, err)
		}
		if text, err := io.ReadAll(z); string(text) != module || err != nil {
			t.Errorf("unzipped %q, %v", text, err)
		}
		if plain := get("GET", "Accept-Encoding: gzip;q=0, br"); plain.body != module {
			t.Errorf("gzip;q=0: %v", plain)
		}
	}
	if answer := ask(t, p.addr, p.get("/other.js")); answer.StatusCode != 404 {
		t.Errorf("another script: %v", answer)
	}
}
