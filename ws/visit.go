package ws

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"vera"
	"vera/ws/head"
)

// visit is one request of HTTP and the answer to it.
type visit struct {
	w     http.ResponseWriter
	r     *http.Request
	site  *site
	guard *guard

	path    string // escaped, as it was sent
	allowed string // methods
	query   query
}

// refuse makes an error that is answered with a status of its own and not with
// that of its code.
func refuse(status int, code vera.Code, format string, args ...any) error {
	return &head.Refusal{Status: status, Err: vera.Errorf(code, format, args...)}
}

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g := r.Context().Value(guardKey{}).(*guard)
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.exit()
	defer g.done()
	path, _, _ := strings.Cut(r.RequestURI, "?")
	v := &visit{w: w, r: r, site: s, guard: g, path: path, allowed: "GET, HEAD, OPTIONS"}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := v.serve(); err != nil {
		v.fail(err)
	}
}

// serve checks what holds for every request, and routes it.
func (v *visit) serve() error {
	if refusal := v.guard.refusal; refusal != nil {
		v.end()
		if refusal.Old {
			v.site.seldom.Warn().Str("address", v.owner()).
				Msg("a WebSocket was asked for by HTTP/1.0: the proxy in between needs proxy_http_version 1.1 and must pass Upgrade and Connection on")
		}
		return refusal
	}
	if v.guard.head.Body {
		v.end()
	}
	if v.guard.crowded != nil {
		v.end()
		return v.guard.crowded
	}
	if err := errors.Join(v.checkHost(), v.checkOrigin(), v.checkToken()); err != nil {
		v.end()
		return err
	}
	if v.site.scripts[v.path] != nil {
		return v.show(v.script)
	}
	if v.site.admin {
		if done, err := v.adminRoute(); done {
			return err
		}
	}
	return v.route()
}

// end makes this the last visit of its connection.
func (v *visit) end() {
	v.guard.last.Store(true)
	v.w.Header().Set("Connection", "close")
}

// route is what both listeners serve.
func (v *visit) route() error {
	switch {
	case v.path == "/connect":
		v.allowed = "GET, OPTIONS" // a WebSocket has no HEAD
		return v.read(v.connect)
	case v.path == "/session":
		return v.read(v.session)
	case v.path == "/data" || strings.HasPrefix(v.path, "/data/"), v.path == string(vera.PeersPath):
		return v.read(v.list)
	case v.path == "/":
		return v.show(v.welcome)
	}
	return noRoute(v.path)
}

func noRoute(path string) error {
	return refuse(404, vera.NotFound, "path: there is no route %.100q; lists are below /data/", path)
}

// read serves a route of the protocol: it knows versions and a query.
func (v *visit) read(serve func() error) error {
	return v.show(func() error {
		if err := v.parseQuery(); err != nil {
			return err
		}
		if err := v.checkVersion(); err != nil {
			return err
		}
		return serve()
	})
}

// show serves a route that can be read, and answers OPTIONS.
func (v *visit) show(serve func() error) error {
	switch {
	case !slices.Contains(strings.Split(v.allowed, ", "), v.r.Method):
		return v.notAllowed()
	case v.r.Method == http.MethodOptions:
		v.preflight()
		return nil
	}
	return serve()
}

func (v *visit) notAllowed() error {
	v.w.Header().Set("Allow", v.allowed)
	return refuse(405, vera.InvalidParameter, "method: %s may be %s", v.path, v.allowed)
}

// checkVersion accepts every way to ask for the only version.
func (v *visit) checkVersion() error {
	asked := slices.Concat(v.query["version"], v.r.Header.Values("Accept-Version"))
	for _, version := range asked {
		if strings.TrimSpace(version) != "0" {
			return vera.Errorf(vera.InvalidParameter, "version: %.20q is not served, only 0", version)
		}
	}
	return nil
}

// fail answers with an error.
func (v *visit) fail(err error) {
	status, told := v.explain(err)
	if status == 0 {
		panic(http.ErrAbortHandler) // an empty answer would be taken for one
	}
	if status == 429 || status == 503 {
		v.w.Header().Set("Retry-After", "1")
	}
	v.site.metrics.refused(status)
	v.site.Logger.Debug().Str("address", v.owner()).Int("status", status).Str("code", string(told.Code)).Msg("refused")
	v.w.Header().Set("Cache-Control", "no-store")
	v.answer(status, vera.AppendError(nil, nil, told))
}

// explain finds out how to answer an error; 0 when there is nobody to answer.
func (v *visit) explain(err error) (status int, told *vera.Error) {
	if refusal, ok := errors.AsType[*head.Refusal](err); ok {
		return refusal.Status, refusal.Err
	}
	if told, ok := errors.AsType[*vera.Error](err); ok {
		return told.Code.Status(), told
	}
	switch {
	case v.r.Context().Err() != nil:
		return 0, nil
	case errors.Is(err, context.DeadlineExceeded):
		return 503, vera.Errorf(vera.Unavailable, "no answer within %v", v.site.Limits.Leader)
	}
	v.site.Logger.Error().Err(err).Str("route", v.path).Msg("a request failed")
	return 500, vera.Errorf(vera.InternalError, "an internal error; try again")
}

// answer sends a body of JSON.
func (v *visit) answer(status int, body []byte) {
	v.w.Header().Set("Content-Type", "application/json")
	v.write(status, body)
}

// write sends a whole body. That the client left meanwhile is nobody's concern.
func (v *visit) write(status int, body []byte) {
	v.w.Header().Set("Content-Length", itoa(len(body)))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body)
}

// text sends a body for people.
func (v *visit) text(status int, body string) {
	v.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	v.w.Header().Set("Cache-Control", "no-store")
	v.write(status, []byte(body))
}

// secure says whether the client speaks TLS, with us or with a trusted proxy.
func (v *visit) secure() bool {
	if v.site.secure != nil {
		return true
	}
	return v.site.trusted(addressOf(v.guard.tcp)) && v.r.Header.Get("X-Forwarded-Proto") == "https"
}

// owner returns the client's IP address: the rightmost that no trusted proxy
// has.
func (v *visit) owner() string {
	if address := v.address(); address.IsValid() {
		return address.String()
	}
	return "local"
}

func (v *visit) address() netip.Addr {
	address := v.guard.client()
	chain := strings.Join(v.r.Header.Values("X-Forwarded-For"), ",")
	for chain != "" && v.site.trusted(address) {
		cut := strings.LastIndexByte(chain, ',')
		next, ok := parseAddress(strings.TrimSpace(chain[cut+1:]))
		if !ok {
			break
		}
		address, chain = next, chain[:max(cut, 0)]
	}
	return address
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		address = with.Addr()
	}
	return address.Unmap().WithZone(""), true
}

// trusted says whether an address is that of a trusted proxy.
func (s *Server) trusted(address netip.Addr) bool {
	return address.IsValid() && slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}
