package main

import (
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vera/client/js"
	"vera/ws"
)

// openSockets makes the server of both listeners.
func (p *peer) openSockets() (*ws.Server, error) {
	c := p.config
	proxies, err := c.proxies()
	if err != nil {
		return nil, err
	}
	o := ws.Options{
		Limits: c.limits, Cluster: string(p.raft.Cluster()), CookieKey: p.raft.CookieKey(),
		CookieDomain: c.cookieDomain, CookieSameSite: http.SameSiteLaxMode,
		Origins: c.allowedOrigins, Hosts: c.hosts(), Proxies: proxies, Owner: c.ownerShown(),
		Logger: p.log, Registerer: p.metrics,
		Metrics:   promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}),
		Inspector: &inspector{p.actors}, Steward: &steward{p.raft}, AdminToken: c.adminToken,
		Scripts: js.Scripts(),
	}
	if c.cookieSameSite == "none" {
		o.CookieSameSite = http.SameSiteNoneMode
	}
	if p.certificate != nil {
		o.Certificate = p.certificate.get
	}
	return ws.New(o, p.actors)
}

// hosts are the names under which clients reach this peer besides its address:
// a proxy in front of a loopback listener passes them on.
func (c *config) hosts() []string {
	u, err := url.Parse(c.advertiseClientURL)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	return []string{u.Hostname()}
}
