package ws

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

const (
	// clusterShown is how much of the cluster's id is in the cookie's name.
	clusterShown = 8
	secretBytes  = 16
	macBytes     = 16
)

// jar makes the cookies of a cluster and knows them again.
type jar struct {
	name     string
	key      []byte
	domain   string
	sameSite http.SameSite
}

func newJar(o *Options) *jar {
	return &jar{"vera-" + o.Cluster[:clusterShown], o.CookieKey, o.CookieDomain, o.CookieSameSite}
}

// nameOver returns the cookie's name: with TLS one that only this very host can
// have set, unless it is for a domain.
func (j *jar) nameOver(secure bool) string {
	if secure && j.domain == "" {
		return "__Host-" + j.name
	}
	return j.name
}

// find returns the secret that the request brings; false when there is none
// that we made, or more than one.
func (j *jar) find(r *http.Request, secure bool) ([]byte, bool) {
	found := r.CookiesNamed(j.nameOver(secure))
	if len(found) != 1 {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(found[0].Value)
	if err != nil || len(raw) != secretBytes+macBytes || found[0].Quoted {
		return nil, false
	}
	secret, mac := raw[:secretBytes:secretBytes], raw[secretBytes:]
	if !hmac.Equal(mac, j.mac(secret)) {
		return nil, false
	}
	return secret, true
}

// mac proves that a secret is ours: HMAC-SHA256, RFC 2104, cut to 16 bytes.
func (j *jar) mac(secret []byte) []byte {
	h := hmac.New(sha256.New, j.key)
	h.Write([]byte("vera cookie\x00"))
	h.Write(secret)
	return h.Sum(nil)[:macBytes]
}

// mint makes a fresh secret and the cookie that carries it.
func (j *jar) mint(secure bool) (secret []byte, c *http.Cookie) {
	secret = make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	raw := append(secret[:secretBytes:secretBytes], j.mac(secret)...)
	return secret, &http.Cookie{
		Name:        j.nameOver(secure),
		Value:       base64.RawURLEncoding.EncodeToString(raw),
		Path:        "/",
		Domain:      j.domain,
		HttpOnly:    true,
		Secure:      secure,
		SameSite:    j.sameSite,
		Partitioned: secure && j.sameSite == http.SameSiteNoneMode,
	}
}
