package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"vera/client"
)

const (
	triesMost  = 3           // of one request, at as many backends
	shunned    = time.Second // for how long a backend is the last choice that did not answer
	dialMost   = 2 * time.Second
	weightMost = 1000
)

// errNobody says that there is no backend to ask, or none any more.
var errNobody = errors.New("no backend is there")

// member is a backend in the pool, whose mu guards it.
type member struct {
	name   string
	url    *url.URL
	weight int
	failed time.Time // when it did not answer last
}

// pool is all backends that there are, by the versions of their items.
type pool struct {
	transport *http.Transport
	mu        sync.Mutex
	members   map[uint64]*member
}

func newPool() *pool {
	return &pool{members: map[uint64]*member{}, transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: dialMost}).DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
	}}
}

// follow keeps the pool as the list is, until ctx is done.
func (p *pool) follow(ctx context.Context, c *client.Client) error {
	for n, err := range c.Watch(ctx, list) {
		if err != nil {
			return err
		}
		p.mu.Lock()
		for _, item := range n.Removed {
			if m := p.members[item.Version]; m != nil {
				log.Printf("%s is gone (%s)", m.name, item.Reason)
			}
			delete(p.members, item.Version)
		}
		for _, item := range slices.Concat(n.Added, n.Updated) {
			p.put(item)
		}
		p.mu.Unlock()
	}
	return nil
}

// put takes an item into the pool. The caller holds mu.
func (p *pool) put(item client.Item) {
	var b backend
	err := item.Decode(&b)
	where, wrong := url.Parse(b.URL)
	if err = errors.Join(err, wrong); err != nil || where.Host == "" || b.Weight < 0 {
		log.Printf("item %d is no backend: %s", item.Version, item.Data)
		delete(p.members, item.Version)
		return
	}
	m := p.members[item.Version]
	if m == nil {
		log.Printf("%s is there", b.Name)
		m = &member{}
		p.members[item.Version] = m
	}
	m.name, m.url, m.weight = b.Name, where, min(max(b.Weight, 1), weightMost)
}

// pick returns a backend that was not tried yet, at random by weight; nil when
// there is none. Those that did not answer a moment ago come last.
func (p *pool) pick(tried []*member) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	var well, all []*member
	for _, m := range p.members {
		if !slices.Contains(tried, m) {
			all = append(all, m)
			if time.Since(m.failed) > shunned {
				well = append(well, m)
			}
		}
	}
	if len(well) == 0 {
		well = all
	}
	sum := 0
	for _, m := range well {
		sum += m.weight
	}
	for _, m := range well {
		if rand.IntN(sum) < m.weight {
			return m
		}
		sum -= m.weight
	}
	return nil
}

// proxy returns what answers requests by asking the backends.
func (p *pool) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Transport: p,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetXForwarded() },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			code := http.StatusBadGateway
			if errors.Is(err, errNobody) {
				code = http.StatusServiceUnavailable
			}
			http.Error(w, err.Error(), code)
		},
	}
}

// RoundTrip sends one request to a backend, and to another one when that does
// no harm.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	var tried []*member
	err := errNobody
	for len(tried) < triesMost && r.Context().Err() == nil {
		m := p.pick(tried)
		if m == nil {
			break
		}
		tried = append(tried, m)
		to := r.Clone(r.Context())
		to.URL.Scheme, to.URL.Host = m.url.Scheme, m.url.Host
		if r.Body != nil {
			to.Body = io.NopCloser(r.Body) // stays open for another try; the server closes it
		}
		var response *http.Response
		if response, err = p.transport.RoundTrip(to); err == nil {
			return response, nil
		}
		err = fmt.Errorf("%s: %w", m.name, err)
		p.mu.Lock()
		m.failed = time.Now()
		p.mu.Unlock()
		if !again(r, err) {
			break
		}
	}
	return nil, err
}

// again says whether a request may be sent once more: it was not sent at all,
// or it may be done twice (RFC 9110, section 9.2.2) and its body is not spent.
func again(r *http.Request, err error) bool {
	if failed, is := errors.AsType[*net.OpError](err); is && failed.Op == "dial" {
		return true
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return r.Body == nil
	}
	return false
}
