package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
)

// peers hands requests on to a peer that answers.
type peers struct {
	urls []*url.URL
	at   atomic.Uint64 // rises when one did not answer; modulo their number: the one to try first
	to   http.RoundTripper
}

// newPeers returns a proxy to peers.
func newPeers(servers []string) (http.Handler, error) {
	p := &peers{to: http.DefaultTransport}
	for _, server := range servers {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("-server: %q is not a URL like http://127.0.0.1:8372", server)
		}
		p.urls = append(p.urls, u)
	}
	return &httputil.ReverseProxy{
		// The request keeps its Host: that the page's Origin is the same shows a
		// peer that it is no page of a stranger.
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetXForwarded() },
		Transport:    p,
		ErrorHandler: unavailable,
	}, nil
}

// RoundTrip asks the peers one after the other. Reads and upgrades have no body,
// so that it can be asked for again; nothing else is asked of a peer over HTTP.
func (p *peers) RoundTrip(r *http.Request) (*http.Response, error) {
	var wrong []error
	for n := range p.urls {
		at := p.at.Load()
		u, last := p.urls[at%uint64(len(p.urls))], n == len(p.urls)-1
		r := r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = u.Scheme, u.Host
		response, err := p.to.RoundTrip(r)
		if err == nil && (response.StatusCode != http.StatusServiceUnavailable || last) {
			return response, nil
		}
		p.at.CompareAndSwap(at, at+1) // unless somebody else has found out already
		if err == nil {               // it drains, or has just begun
			err = errors.Join(errors.New(response.Status), response.Body.Close())
		}
		wrong = append(wrong, fmt.Errorf("%s: %w", u.Host, err))
		if r.Context().Err() != nil { // whoever asked waited in vain, and the next one won't
			break
		}
	}
	return nil, errors.Join(wrong...)
}

// unavailable answers as a peer does that finds no leader.
func unavailable(w http.ResponseWriter, _ *http.Request, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": "Unavailable", "message": err.Error()}) // who asked has gone
}
