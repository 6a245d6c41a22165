package ws

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"vera"
)

// checkHost keeps pages of other sites from reaching a loopback listener under
// a name of their own that they point at it.
func (v *visit) checkHost() error {
	if !v.site.loopback {
		return nil
	}
	host := strings.TrimSuffix(strings.ToLower(hostOf(v.r.Host)), ".")
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case err == nil && address.IsLoopback():
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
	case slices.ContainsFunc(v.site.Hosts, func(own string) bool { return strings.EqualFold(hostOf(own), host) }):
	default:
		return refuse(421, vera.Forbidden, "Host: %.100q is not a name of this peer", v.r.Host)
	}
	return nil
}

// hostOf returns the host of a host with or without a port.
func hostOf(host string) string {
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		return host[:at]
	}
	return host
}

// checkOrigin refuses pages that may not speak with us, and tells browsers what
// those that may can read. Who sends no Origin is no page of another site.
func (v *visit) checkOrigin() error {
	header := v.w.Header()
	if v.site.scripts[v.path] != nil {
		header.Set("Access-Control-Allow-Origin", "*")
		return nil
	}
	header.Add("Vary", "Origin")
	origin := v.r.Header.Get("Origin")
	if origin == "" {
		if _, sent := v.r.Header["Origin"]; sent {
			return foreign(origin)
		}
		return v.checkFetch()
	}
	listed := !v.site.admin && slices.ContainsFunc(v.site.Origins, func(o string) bool { return strings.EqualFold(o, origin) })
	anyone := !v.site.admin && slices.Contains(v.site.Origins, "*")
	switch {
	case listed, v.sameOrigin(origin):
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Allow-Credentials", "true")
	case anyone:
		header.Set("Access-Control-Allow-Origin", "*")
	default:
		return foreign(origin)
	}
	header.Set("Access-Control-Expose-Headers", "ETag, Vera-Index, Vera-Leader, Vera-Last-Contact")
	return nil
}

func foreign(origin string) error {
	return refuse(403, vera.Forbidden, "Origin: pages of %.100q may not speak with this peer", origin)
}

// checkFetch keeps pages of other sites from starting anything on the admin
// listener by requests that carry no Origin, images for instance. Links work.
func (v *visit) checkFetch() error {
	if v.site.admin && v.r.Header.Get("Sec-Fetch-Site") == "cross-site" && v.r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return refuse(403, vera.Forbidden, "Sec-Fetch-Site: pages of other sites may not speak with this listener")
	}
	return nil
}

// sameOrigin says whether a page comes from where the request goes to. Behind
// a proxy that ends TLS the scheme cannot be known, so only what is surely
// encrypted insists on it.
func (v *visit) sameOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Path != "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	if v.secure() && u.Scheme != "https" {
		return false
	}
	port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	cut := func(host string) string { return strings.TrimSuffix(strings.ToLower(host), port) }
	return cut(u.Host) == cut(v.r.Host)
}

// preflight answers OPTIONS, also when a browser asks before another request.
func (v *visit) preflight() {
	header := v.w.Header()
	header.Set("Allow", v.allowed)
	if v.r.Header.Get("Access-Control-Request-Method") != "" && header.Get("Access-Control-Allow-Origin") != "" {
		header.Set("Access-Control-Allow-Methods", v.allowed)
		header.Set("Access-Control-Allow-Headers", "Accept-Version, Authorization, If-None-Match, Last-Event-ID")
		header.Set("Access-Control-Max-Age", "600")
	}
	v.w.WriteHeader(204)
}
