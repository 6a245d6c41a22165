package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"vera"

	"github.com/coder/websocket"
)

// Refused says that the server answered a request over HTTP with another
// status than the one hoped for. It unwraps to a *vera.Error when the server
// gave a reason.
type Refused struct {
	Status int         // of HTTP
	Header http.Header // of the answer
	Reason *vera.Error // nil when the answer was not Vera's
}

// Error returns the status and the reason.
func (r *Refused) Error() string {
	if r.Reason == nil {
		return fmt.Sprintf("HTTP status %d", r.Status)
	}
	return fmt.Sprintf("HTTP status %d: %s", r.Status, r.Reason.Error())
}

// Unwrap returns the reason.
func (r *Refused) Unwrap() error {
	if r.Reason == nil {
		return nil
	}
	return r.Reason
}

// maxRefusal bounds what is read of an answer that refuses, in bytes.
const maxRefusal = 16 << 10

func refusedBy(response *http.Response) *Refused {
	refused := &Refused{Status: response.StatusCode, Header: response.Header}
	var e envelope
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err == nil && json.Unmarshal(body, &e) == nil && e.Code != "" {
		refused.Reason, _ = e.refusal().(*vera.Error)
	}
	return refused
}

// Dial connects to the server at that URL: http, https, ws or wss, or a bare
// host:port. When it returns, the session is attached to the new connection,
// so that an older one may be closed. The context bounds the handshake only.
func Dial(ctx context.Context, server string, o Options) (*Connection, error) {
	return dialHooked(ctx, server, o, hooks{})
}

func dialHooked(ctx context.Context, server string, o Options, h hooks) (*Connection, error) {
	url, err := at(server, "/connect", o.query())
	if err != nil {
		return nil, err
	}
	header := o.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if o.Cookie != "" {
		header.Set("Cookie", o.Cookie)
	}
	socket, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: o.HTTP, HTTPHeader: header})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return nil, refusedBy(response)
		}
		return nil, fmt.Errorf("dial %s: %w", url, err)
	}
	if o.Message == 0 {
		o.Message = maxMessage
	}
	if o.Queue <= 0 {
		o.Queue = 16
	}
	socket.SetReadLimit(o.Message)
	c := &Connection{
		socket: socket, queue: o.Queue, trace: o.Trace, hooks: h,
		cookie:  cookieOf(response, header, o.HTTP),
		done:    make(chan struct{}),
		waiting: map[uint64]*Pending{}, watches: map[string]*Watch{},
	}
	go c.read()
	return c, nil
}

// cookieOf returns the session's cookie: the one just set, else the one that
// was sent.
func cookieOf(response *http.Response, sent http.Header, from *http.Client) string {
	var known []*http.Cookie
	if from != nil && from.Jar != nil {
		known = from.Jar.Cookies(response.Request.URL)
	}
	for _, cookie := range append(response.Cookies(), known...) {
		if strings.HasPrefix(strings.TrimPrefix(cookie.Name, "__Host-"), "vera-") {
			return cookie.Name + "=" + cookie.Value
		}
	}
	return sent.Get("Cookie")
}
