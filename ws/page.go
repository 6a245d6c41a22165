package ws

import (
	"fmt"
	"strings"
)

// welcome tells a person at the client listener's root what this is.
func (v *visit) welcome() error {
	scheme := "http"
	if v.secure() {
		scheme = "https"
	}
	own := scheme + "://" + v.r.Host
	v.text(200, fmt.Sprintf(`This is Vera, a coordination service whose protocol is the web.

Read a list      curl '%[1]s/data/hello'
Follow a list    curl -N -H 'Accept: text/event-stream' '%[1]s/data/hello'
Hold an item     in a browser's console, on this page:

  vera = (await import("/vera.js")).connect()
  vera.watch("/data/hello", list => console.log(list.items))
  vera.push("/data/hello", {name: "me"})

The cluster      %[1]s/vera/peers
Your session     %[1]s/session
`, own))
	return nil
}

// adminPage links what the admin listener has.
func (v *visit) adminPage() error {
	var page strings.Builder
	page.WriteString("<!doctype html><html lang=en><meta charset=utf-8><title>Vera: admin</title>\n<h1>Vera</h1>\n<ul>\n")
	for _, link := range []struct{ path, what string }{
		{"/livez", "does it live"},
		{"/readyz?verbose", "is it ready, and if not, why"},
		{"/metrics", "metrics"},
		{"/peers", "the cluster"},
		{"/snapshot", "the state, to be kept"},
		{"/sessions", "sessions"},
		{"/actors", "actors by kind"},
		{"/actors/top", "the busiest actors"},
		{"/actors/tree", "who supervises whom"},
		{"/actors/trace?id=", "what an actor handles: add its id"},
		{"/debug/pprof/", "profiles"},
	} {
		fmt.Fprintf(&page, "<li><a href=\"%s\">%s</a>: %s</li>\n", link.path, link.path, link.what)
	}
	page.WriteString("</ul>\n")
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Security-Policy", "default-src 'none'")
	v.w.Header().Set("Cache-Control", "no-store")
	v.write(200, []byte(page.String()))
	return nil
}
