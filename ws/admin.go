package ws

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strings"
	"time"

	"vera"
)

const (
	// behind is how many indexes a peer may lag and still call itself ready.
	behind = 1000

	mostSessions  = 1000
	someSessions  = 100
	mostActors    = 1000
	someActors    = 20
	mostTraceTime = 10 * time.Minute
	someTraceTime = 10 * time.Second
)

// checkToken asks for the password where the site has one.
func (v *visit) checkToken() error {
	if !v.site.admin || v.site.token == "" {
		return nil
	}
	given, ok := strings.CutPrefix(v.r.Header.Get("Authorization"), "Bearer ")
	want, got := sha256.Sum256([]byte(v.site.token)), sha256.Sum256([]byte(given))
	if !ok || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		v.w.Header().Set("WWW-Authenticate", "Bearer")
		return refuse(401, vera.Forbidden, "Authorization: the admin token is needed: Bearer TOKEN")
	}
	return nil
}

// adminRoute serves what only the admin listener has. Not done: the route is
// one of the client listener.
func (v *visit) adminRoute() (done bool, err error) {
	route, rest, below := strings.Cut(strings.TrimPrefix(v.path, "/"), "/")
	id, broken := url.PathUnescape(rest)
	if broken != nil {
		return true, noRoute(v.path)
	}
	switch {
	case v.path == "/":
		return true, v.show(v.adminPage)
	case v.path == "/livez":
		return true, v.show(func() error { v.text(200, "ok\n"); return nil })
	case v.path == "/readyz":
		return true, v.inspect(v.ready)
	case v.path == "/metrics" && v.site.Metrics != nil:
		return true, v.show(func() error { v.site.Metrics.ServeHTTP(v.w, v.r); return nil })
	case v.path == "/peers":
		v.path = string(vera.PeersPath)
		return true, v.read(v.list)
	case strings.HasPrefix(v.path, "/debug/pprof/"):
		return true, v.show(v.profile)
	case route == "snapshot" && !below || route == "peers":
		return v.steward()
	case v.site.Inspector == nil:
		return false, nil
	case route == "actors":
		return true, v.inspect(func() error { return v.actors(id) })
	case route == "sessions" && strings.HasSuffix(id, "/end"):
		return true, v.endSession(strings.TrimSuffix(id, "/end"))
	case route == "sessions" && (!below || id != ""):
		return true, v.inspect(func() error { return v.sessions(id) })
	}
	return false, nil
}

// inspect serves a route with a query.
func (v *visit) inspect(serve func() error) error {
	return v.show(func() error {
		if err := v.parseQuery(); err != nil {
			return err
		}
		v.w.Header().Set("Cache-Control", "no-store")
		return serve()
	})
}

// ready says whether this peer should be sent clients.
func (v *visit) ready() error {
	status := v.site.service.Status()
	lag := status.Committed - min(status.Committed, status.Applied)
	var told strings.Builder
	all := true
	for _, check := range []struct {
		name string
		ok   bool
		why  string
	}{
		{"leader", status.Leader != "", "none is known"},
		{"majority", !status.Suspended, "out of touch with it"},
		{"applied", lag <= behind, fmt.Sprintf("%d indexes behind", lag)},
		{"agreement", status.Diverged == "", status.Diverged},
		{"draining", !status.Draining && !v.site.draining(), "this peer is going away"},
	} {
		if check.ok {
			fmt.Fprintf(&told, "[+] %s ok\n", check.name)
		} else {
			fmt.Fprintf(&told, "[-] %s: %s\n", check.name, check.why)
		}
		all = all && check.ok
	}
	if _, verbose := v.query["verbose"]; !verbose && all {
		told.Reset()
	}
	if all {
		v.text(200, told.String()+"ok\n")
	} else {
		v.text(503, told.String()+"not ready\n")
	}
	return nil
}

// tell answers with whatever the inspector returned.
func (v *visit) tell(value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	v.answer(200, append(body, '\n'))
	return nil
}

func (v *visit) actors(id string) error {
	switch id {
	case "":
		return v.tell(v.site.Inspector.Actors())
	case "top":
		n, err := v.query.number("limit", someActors, mostActors)
		if err != nil {
			return err
		}
		return v.tell(v.site.Inspector.TopActors(int(n)))
	case "tree":
		return v.tell(v.site.Inspector.ActorTree())
	case "trace":
		return v.trace()
	}
	actor, err := v.site.Inspector.Actor(v.r.Context(), id)
	if err != nil {
		return err
	}
	return v.tell(actor)
}

// trace sends one line of JSON for each thing that happens, for a while.
func (v *visit) trace() error {
	id, _, err := v.query.one("id")
	if err != nil {
		return err
	}
	if id == "" {
		return vera.Errorf(vera.InvalidParameter, "id: missing; it is that of an actor, as in /actors/top")
	}
	last, err := v.query.millis("forMs", someTraceTime, 0, mostTraceTime)
	if err != nil {
		return err
	}
	ctx, cancel := v.untilDrain()
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, last)
	defer cancel()
	events, err := v.site.Inspector.Trace(ctx, id)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/x-ndjson")
	if err := http.NewResponseController(v.w).Flush(); err != nil {
		return nil
	}
	for event := range events {
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		if v.event(string(line)+"\n") != nil {
			return nil
		}
	}
	return nil
}

func (v *visit) sessions(id string) error {
	if id != "" {
		return v.one(id)
	}
	n, err := v.query.number("limit", someSessions, mostSessions)
	if err != nil {
		return err
	}
	after, given, err := v.query.one("after")
	if err != nil {
		return err
	}
	var from vera.SessionID
	if given {
		if from, err = vera.ParseSessionID(after); err != nil {
			return vera.Errorf(vera.InvalidParameter, "after: %v", err)
		}
	}
	return v.tell(v.site.Inspector.Sessions(from, int(n)))
}

func (v *visit) one(text string) error {
	id, err := vera.ParseSessionID(text)
	if err != nil {
		return vera.Errorf(vera.InvalidParameter, "session: %v", err)
	}
	session, err := v.site.Inspector.Session(v.r.Context(), id)
	if err != nil {
		return err
	}
	return v.tell(session)
}

// post lets through what changes something: a POST without a body. Done: it is
// answered, or refused with the error.
func (v *visit) post() (done bool, err error) {
	v.allowed = "POST, OPTIONS"
	switch {
	case v.r.Method == http.MethodOptions:
		v.preflight()
		return true, nil
	case v.r.Method != http.MethodPost:
		return true, v.notAllowed()
	case v.guard.head.Body:
		return true, vera.Errorf(vera.InvalidParameter, "body: none is read here")
	}
	return false, nil
}

// endSession ends a session for good.
func (v *visit) endSession(text string) error {
	if done, err := v.post(); done {
		return err
	}
	id, err := vera.ParseSessionID(text)
	if err != nil {
		return vera.Errorf(vera.InvalidParameter, "session: %v", err)
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), v.site.Limits.Leader)
	defer cancel()
	if err := v.site.Inspector.EndSession(ctx, id); err != nil {
		return err
	}
	v.site.Logger.Info().Stringer("session", id).Str("address", v.owner()).Msg("session ended by an operator")
	v.answer(200, vera.AppendOK(nil, nil))
	return nil
}

// profile serves net/http/pprof.
func (v *visit) profile() error {
	v.w.Header().Set("Cache-Control", "no-store")
	switch v.path {
	case "/debug/pprof/cmdline":
		pprof.Cmdline(v.w, v.r)
	case "/debug/pprof/profile":
		pprof.Profile(v.w, v.r)
	case "/debug/pprof/trace":
		pprof.Trace(v.w, v.r)
	default:
		pprof.Index(v.w, v.r)
	}
	return nil
}
