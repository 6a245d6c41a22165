package sign

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

const (
	// Life is how long a signed request holds by its sender's clock.
	Life = 30 * time.Second
	// NoCluster is what Vera-Cluster says of a peer that is in none yet.
	NoCluster = "none"

	nonceSize = 16 // bytes, at random
)

// Sender signs requests with a peer's key. Its fields do not change once it is
// in use; its methods may be called from any goroutine.
type Sender struct {
	Key     ed25519.PrivateKey
	Cluster func() string    // id of the cluster that this peer is in; "" in none
	Now     func() time.Time // the wall clock
	Rand    io.Reader        // where nonces come from: crypto/rand.Reader
}

// Sign signs a client's request with this body (nil for none). It sets
// Content-Digest, Vera-Cluster, Vera-Receiver, Signature-Input and Signature,
// and covers every field that is there, so nothing may be added afterwards: the
// Transport must have DisableCompression, and a User-Agent, when there is none
// yet, is declined. The fields in also must be there.
//
// receiver is the other's Receiver.Name. Who does not know it yet asks for
// KeyID + "/0" and finds it in the refusal, by Asked. challenge is "" or what
// Asked found.
//
// Each call makes another signature; a request is signed anew before it is sent
// again. An error says what of the request can't be signed.
func (s *Sender) Sign(r *http.Request, body []byte, receiver, challenge string, also ...string) error {
	if r.URL.Opaque != "" || r.URL.User != nil || r.URL.Host == "" {
		return errors.New("sign: the URL must have a host, no user, and a path")
	}
	if len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || (r.Body == nil && len(body) > 0) {
		return errors.New("sign: the body must be sent whole, without trailer")
	}
	nonce := challenge
	if nonce == "" {
		random := make([]byte, nonceSize)
		if _, err := io.ReadFull(s.Rand, random); err != nil {
			return fmt.Errorf("sign: nonce: %w", err)
		}
		nonce = plain.EncodeToString(random)
	}
	cluster := s.Cluster()
	if cluster == "" {
		cluster = NoCluster
	}
	r.Header.Set(fieldDigest, digest(body))
	r.Header.Set(fieldCluster, cluster)
	r.Header.Set(fieldReceiver, receiver)
	if r.Header.Get("User-Agent") == "" {
		r.Header["User-Agent"] = nil // keeps net/http from adding its own
	}
	components, err := covered(r.Header, also)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	now := s.Now().Unix()
	in := input{
		components: components,
		created:    now,
		expires:    now + int64(Life/time.Second),
		nonce:      nonce,
		keyID:      KeyID(s.Key.Public().(ed25519.PublicKey)),
	}.String()
	base, err := toSend(r, len(body)).base(components, in)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	r.Header.Set(fieldInput, label+"="+in)
	r.Header.Set(fieldSignature, spellSignature(ed25519.Sign(s.Key, base)))
	return nil
}

// covered returns the components of a request with these fields: its method,
// its target, and all fields but the signature's own, sorted, each of which
// must be there once, as must those in also. Content-Length is left out: the
// digest speaks for the body.
func covered(header http.Header, also []string) ([]string, error) {
	if len(header) > maxFields {
		return nil, fmt.Errorf("%d header fields, at most %d", len(header), maxFields)
	}
	names := make([]string, 0, 2+len(header))
	for field, values := range header {
		switch {
		case field == fieldInput || field == fieldSignature || field == fieldLength || len(values) == 0:
			continue
		case len(values) > 1:
			return nil, fmt.Errorf("%.40q is there %d times", field, len(values))
		case field != textproto.CanonicalMIMEHeaderKey(field) || !token(field),
			field == "Host", field == "Transfer-Encoding", field == "Trailer": // net/http keeps these elsewhere
			return nil, fmt.Errorf("%.40q must not be in the header", field)
		}
		names = append(names, strings.ToLower(field))
	}
	slices.Sort(names)
	for _, name := range append([]string{fieldDigest, fieldCluster, fieldReceiver}, also...) {
		if _, found := slices.BinarySearch(names, strings.ToLower(name)); !found {
			return nil, fmt.Errorf("%s is missing", strings.ToLower(name))
		}
	}
	return append([]string{"@method", "@target-uri"}, names...), nil
}

// token says whether a field's name is of letters, digits and hyphens only, as
// those of all known fields are.
func token(name string) bool {
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-' {
			return false
		}
	}
	return name != ""
}
