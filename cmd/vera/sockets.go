package main

import (
	"bytes"
	"fmt"
	"net/http"
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
	token, err := readSecret(c.adminTokenFile)
	if err != nil {
		return nil, fmt.Errorf("--admin-token-file: %w", err)
	}
	o := ws.Options{
		Limits: c.limits, Cluster: string(p.raft.Cluster()), CookieKey: p.raft.CookieKey(),
		CookieDomain: c.cookieDomain, CookieSameSite: http.SameSiteLaxMode,
		Origins: c.allowedOrigins, Proxies: proxies, Owner: c.ownerShown(),
		Logger: p.log, Registerer: p.metrics,
		Metrics:   promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}),
		Inspector: &inspector{p.actors, p.raft}, AdminToken: token,
	}
	if c.cookieSameSite == "none" {
		o.CookieSameSite = http.SameSiteNoneMode
	}
	if p.certificate != nil {
		o.Certificate = p.certificate.get
	}
	return ws.New(o, p.actors)
}

// readSecret reads a secret from a file that nobody else may read; no name, no
// secret.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %#o): chmod 600 %s", file, info.Mode().Perm(), file)
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
