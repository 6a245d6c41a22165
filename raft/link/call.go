package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"vera/raft/sign"
)

var (
	errUnproven = errors.New("it did not prove that it knows the cluster's secret")
	errNoMember = errors.New("its key is not that of a peer of this cluster")
)

// Call asks the peer at an address (host:port), the holder of a key, for
// something, by a name of a-z, 0-9 and "-", and returns its answer. With no key
// it asks whoever proves the cluster's secret; with a key that is no member's, its
// holder must prove it as well. What it answers with an error is a
// *Refused, with status 422 when it is Options.Call's there. After any other
// error nobody knows whether the call was handled. The context should end.
func (l *Link) Call(ctx context.Context, host, key, what string, body []byte) ([]byte, error) {
	to := address{host, key}
	if !isName(what) || len(body) > MaxBody {
		return nil, fmt.Errorf("call %.64q: a name of 1 to %d of a-z, 0-9 and -, a body of at most %d bytes", what, maxName, MaxBody)
	}
	if err := l.possible(to); err != nil {
		return nil, err
	}
	p := l.poolOf(to)
	answer, challenge, err := l.callOnce(ctx, p, to, what, body, "")
	if challenge != "" {
		answer, _, err = l.callOnce(ctx, p, to, what, body, challenge)
	}
	return answer, err
}

// possible says what is missing for speaking with somebody.
func (l *Link) possible(to address) error {
	if to.key == "" && len(l.o.Secret) == 0 {
		return fmt.Errorf("peer at %s: neither its key is known nor the cluster's secret", to.host)
	}
	if err := l.ctx.Err(); err != nil {
		return ErrClosed
	}
	return nil
}

// callOnce makes a call on one connection. A challenge that it returns wants to
// be signed.
func (l *Link) callOnce(ctx context.Context, p *pool, to address, what string, body []byte, challenge string) ([]byte, string, error) {
	ln, err := l.take(ctx, p, to)
	if err != nil {
		return nil, "", err
	}
	again := false
	defer func() { l.put(p, ln, again) }()
	if to.key != "" {
		ln.wire.admit(to.key) // so that Cut finds it
	}
	still := ln.during(ctx)
	r, err := l.request(ln, http.MethodPost, callPath+what, body, challenge, nil)
	if err != nil {
		return nil, "", err
	}
	head, err := ln.exchange(ctx, r)
	if err == nil {
		challenge, err = l.judge(ln, head, challenge == "")
	}
	var answer []byte
	if err == nil {
		answer, err = ln.read(head)
	}
	if !still() {
		return nil, "", fmt.Errorf("peer at %s: %w", to.host, context.Cause(ctx))
	}
	if err != nil {
		return nil, "", fmt.Errorf("peer at %s: %w", to.host, err)
	}
	again = to.key != "" && !head.Close
	if head.StatusCode == http.StatusOK {
		return answer, "", nil
	}
	return nil, challenge, refused(head.StatusCode, answer)
}

// request makes a signed request for a line.
func (l *Link) request(ln *line, method, path string, body []byte, challenge string, more http.Header) (*http.Request, error) {
	r := &http.Request{
		Method: method,
		URL:    &url.URL{Scheme: "https", Host: ln.to.host, Path: path},
		Host:   ln.to.host,
		Header: http.Header{fieldConnection: {text(ln.exporter)}},
	}
	if len(body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	for field, values := range more {
		r.Header[field] = values
	}
	if len(l.o.Secret) > 0 {
		r.Header.Set(fieldProof, prove(l.o.Secret, asking, ln.exporter, l.id))
	}
	return r, l.sender.Sign(r, body, ln.receiver, challenge, fieldConnection)
}

// judge says whether an answer may be used at all: who gave it is a member, or
// proved the secret, or is at least the one who was meant where we know no secret.
// Of a 401 it returns the challenge; what else such an answer says is only told to
// people.
func (l *Link) judge(ln *line, head *http.Response, first bool) (string, error) {
	if head.StatusCode == http.StatusUnauthorized {
		_, challenge, err := sign.Asked(head.Header, ln.key)
		if err != nil || !first {
			challenge = ""
		}
		return challenge, nil
	}
	who := ln.to.key != "" && (len(l.o.Secret) == 0 || l.o.Trusted(ln.key))
	if !who && !proves(head.Header.Get(fieldProof), l.o.Secret, answering, ln.exporter, ln.key) {
		return "", errUnproven
	}
	return "", nil
}

// refused is the error for an answer that is one.
func refused(status int, said []byte) *Refused {
	visible := func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}
	message := strings.Map(visible, strings.ToValidUTF8(string(said[:min(len(said), maxTold)]), "?"))
	if status != http.StatusUnprocessableEntity {
		message = fmt.Sprintf("refused with %d: %s", status, message)
	}
	return &Refused{status, message}
}

// Dial opens a stream of a kind, named as a call is, to the peer at an address
// (host:port), the holder of a key or anybody; Options.Trusted must trust it. It
// returns before the context ends; the stream has no deadline. An end of it may be
// that of its connection: what is said on it must show what is whole.
func (l *Link) Dial(ctx context.Context, host, key, kind string) (net.Conn, error) {
	to := address{host, key}
	if !isName(kind) {
		return nil, fmt.Errorf("stream %.64q: a name of 1 to %d of a-z, 0-9 and -", kind, maxName)
	}
	if err := l.possible(to); err != nil {
		return nil, err
	}
	c, challenge, err := l.dialOnce(ctx, to, kind, "")
	if challenge != "" {
		c, _, err = l.dialOnce(ctx, to, kind, challenge)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (l *Link) dialOnce(ctx context.Context, to address, kind, challenge string) (net.Conn, string, error) {
	ln, err := l.connect(ctx, to)
	if err != nil {
		return nil, "", err
	}
	if !ln.wire.admit(ln.key) { // if it is a member's, Cut finds the line
		ln.close()
		return nil, "", fmt.Errorf("peer at %s: %w", to.host, errNoMember)
	}
	still := ln.during(ctx)
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol}}
	r, err := l.request(ln, http.MethodGet, streamPath+kind, nil, challenge, upgrade)
	var head *http.Response
	if err == nil {
		head, err = ln.exchange(ctx, r)
	}
	if err == nil {
		challenge, err = l.judge(ln, head, challenge == "")
	}
	var said []byte
	if err == nil && head.StatusCode != http.StatusSwitchingProtocols {
		if said, err = ln.read(head); err == nil {
			err = refused(head.StatusCode, said)
		}
	}
	if !still() {
		err = context.Cause(ctx)
	}
	if err != nil {
		ln.close()
		return nil, challenge, fmt.Errorf("peer at %s: %w", to.host, err)
	}
	rest, _ := ln.r.Peek(ln.r.Buffered())
	return l.newStream(ln.conn, rest, "out"), "", nil
}
