package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"vera"
	"vera/ws/socket"
)

// Options is what a Server must know. Fields without a comment that says
// otherwise may be left out.
type Options struct {
	Limits    vera.Limits // needed
	Cluster   string      // needed: the cluster's id, eight letters or digits at least; the cookie is named after it
	CookieKey []byte      // needed: 16 bytes at least, the same on all peers; proves that a cookie is ours

	CookieDomain   string        // for peers under sibling names
	CookieSameSite http.SameSite // Lax, or None for pages of other sites

	// Certificate, if set, makes the client listener speak TLS. It is asked at
	// each handshake, so that a certificate can change.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	Origins []string       // pages that may connect besides those of the same origin; "*" for all
	Hosts   []string       // names of this peer that a loopback listener answers to besides its own
	Proxies []netip.Prefix // networks whose X-Forwarded-For, X-Forwarded-Proto and PROXY headers count
	Owner   vera.OwnerShown

	Logger     zerolog.Logger
	Registerer prometheus.Registerer
	Metrics    http.Handler // of the admin listener's /metrics
	Inspector  Inspector    // of the admin listener
	Steward    Steward      // of the admin listener
	AdminToken string       // the password of an admin listener that is not on loopback

	Scripts map[string][]byte // modules for pages of any origin, by path, such as "/vera.js"

	Backend socket.Backend // default socket.Goroutines
}

// check names everything that is wrong, and fills in what was left out.
func (o *Options) check() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if len(o.Cluster) < clusterShown || strings.Trim(o.Cluster, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		wrong("cluster: an id of %d letters or digits at least", clusterShown)
	}
	if len(o.CookieKey) < 16 {
		wrong("cookie key: 16 bytes at least")
	}
	if o.Limits.Message <= 0 || o.Limits.Head <= 0 || o.Limits.Connections <= 0 {
		wrong("limits: start from vera.DefaultLimits")
	}
	if o.CookieSameSite == http.SameSiteDefaultMode || o.CookieSameSite == 0 {
		o.CookieSameSite = http.SameSiteLaxMode
	}
	if o.CookieSameSite == http.SameSiteNoneMode && o.Certificate == nil && len(o.Proxies) == 0 {
		wrong("cookie-samesite: none needs TLS, here or in a trusted proxy")
	}
	for _, origin := range o.Origins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil) {
			wrong("allowed-origins: %q is no origin such as https://app.example", origin)
		}
	}
	if o.Backend == nil {
		o.Backend = socket.Goroutines()
	}
	return errors.Join(all...)
}
