package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/prometheus/client_golang/prometheus/promhttp"

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
		Inspector: &inspector{p.actors}, AdminToken: p.token,
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

// readSecret reads a secret from a file that nobody else may read; no name, no
// secret.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	if err := private(file); err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := string(bytes.TrimSpace(text))
	if len(secret) < 16 {
		return "", fmt.Errorf("%s holds %d characters, at least 16 are needed", file, len(secret))
	}
	return secret, nil
}

// private refuses a secret's file that others may read.
func private(file string) error {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s can be read by others (mode %#o): chmod 600 %s", file, info.Mode().Perm(), file)
	}
	return err
}
