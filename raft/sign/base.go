package sign

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// The fields of a signed request, as Go spells them.
const (
	fieldDigest    = "Content-Digest"
	fieldInput     = "Signature-Input"
	fieldSignature = "Signature"
	fieldLength    = "Content-Length"
	fieldAccept    = "Accept-Signature"
	fieldCluster   = "Vera-Cluster"
	fieldReceiver  = "Vera-Receiver"
)

// message is what a signature covers of a request, as the receiver sees it.
// Vera's peers speak HTTPS only, so that is the scheme.
type message struct {
	method string
	host   string // as sent in the Host field
	target string // path and query as sent, from the first /
	length int64  // of the body, in bytes
	header http.Header
}

// received is the message that a server read.
func received(r *http.Request) message {
	return message{r.Method, r.Host, r.RequestURI, r.ContentLength, r.Header}
}

// toSend is the message that a client is about to send.
func toSend(r *http.Request, length int) message {
	m := message{r.Method, r.Host, r.URL.RequestURI(), int64(length), r.Header}
	if m.method == "" {
		m.method = http.MethodGet
	}
	if m.host == "" {
		m.host = r.URL.Host
	}
	return m
}

// component returns the value of a component, by RFC 9421, sections 2.1 and
// 2.2. Components with parameters are not used here.
func (m message) component(name string) (string, error) {
	path, query, _ := strings.Cut(m.target, "?")
	switch name {
	case "@method":
		return m.method, nil
	case "@target-uri":
		return "https://" + m.host + m.target, nil
	case "@authority":
		return strings.TrimSuffix(strings.ToLower(m.host), ":443"), nil
	case "@scheme":
		return "https", nil
	case "@request-target":
		return m.target, nil
	case "@path":
		return path, nil
	case "@query":
		return "?" + query, nil
	case "content-length":
		return strconv.FormatInt(m.length, 10), nil
	case "host":
		return m.host, nil
	}
	values := m.header[textproto.CanonicalMIMEHeaderKey(name)]
	if len(values) == 0 {
		return "", fmt.Errorf("%s is missing", name)
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Trim(v, " \t")
	}
	return strings.Join(trimmed, ", "), nil
}

// base returns the text that is signed, by RFC 9421, section 2.5. parameters
// is the inner list of Signature-Input with its parameters.
func (m message) base(components []string, parameters string) ([]byte, error) {
	b := make([]byte, 0, 1024)
	for _, name := range components {
		value, err := m.component(name)
		if err != nil {
			return nil, err
		}
		if !printable(value) {
			return nil, fmt.Errorf("%s has a control character or one beyond ASCII", name)
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `": `...)
		b = append(b, value...)
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, parameters...), nil
}

// printable says whether all bytes of s are visible ASCII, spaces or tabs: a
// value with a line end could pass itself off as further lines of the base.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return true
}

// digest is the value of Content-Digest for a body (RFC 9530, section 2).
func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}
