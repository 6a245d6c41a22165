package client

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"vera"
)

// NoGrace asks for a grace of 0: the session ends the moment that its
// connection is lost.
const NoGrace time.Duration = -1

// maxMessage is the largest answer taken from a server that nobody set another
// bound for, in bytes.
const maxMessage = 64 << 20

// Options says how to connect. The zero value is a new session with the
// server's own grace and heartbeat.
type Options struct {
	// HTTP makes the handshake; nil is http.DefaultClient. A Jar in it keeps
	// the session's cookie.
	HTTP *http.Client
	// Header is sent with the handshake: Origin, Accept-Version and the like.
	Header http.Header
	// Cookie is the session's cookie, "name=value", as Connection.Cookie gave
	// it. For programs that keep no Jar.
	Cookie string
	// Label gives this connection a session of its own under the same cookie:
	// 1 to 64 of A-Z a-z 0-9 . _ -
	Label string
	// Grace is how long the session outlives a lost connection, in whole
	// milliseconds; 0 is the server's default.
	Grace time.Duration
	// Heartbeat is the server's time between pings, in whole milliseconds; 0
	// is the server's default. After two silent ones the connection is lost.
	Heartbeat time.Duration
	// Local keeps the watches on this peer: they cost the cluster nothing and
	// are gone after a move to another peer.
	Local bool
	// Quiet is for a connection that wants no notifications.
	Quiet bool

	// Connections is how many connections a Client keeps. Dial makes one.
	Connections Connections

	// Queue is how many notifications of one list may wait before they are
	// merged; 0 is 16.
	Queue int
	// Message is the largest message taken from the server, in bytes; 0 is
	// 64 MiB. A larger one ends the connection.
	Message int64
	// Trace is called with every message as it goes over the wire, in its
	// order each way. It must neither block nor keep the message. Nil: none.
	Trace func(sent bool, message []byte)

	clock func() time.Duration // a Client's, for tests; nil: one that counts sleep
}

// Connections is how many connections a Client keeps.
type Connections uint8

// Majority keeps connections to more than half of the peers that vote, one of
// them to the leader: 1 of 1, 2 of 2 or 3, 3 of 5. A leader's death costs such
// a client an election and no reconnect. One keeps a single connection.
const (
	Majority Connections = iota
	One
)

// query returns what o says in the URL of /connect.
func (o *Options) query() url.Values {
	q := url.Values{}
	if o.Label != "" {
		q.Set("client", o.Label)
	}
	if o.Grace != 0 {
		q.Set("graceMs", strconv.FormatInt(max(o.Grace, 0).Milliseconds(), 10))
	}
	if o.Heartbeat != 0 {
		q.Set("heartbeatMs", strconv.FormatInt(o.Heartbeat.Milliseconds(), 10))
	}
	if o.Local {
		q.Set("local", "true")
	}
	if o.Quiet {
		q.Set("notify", "false")
	}
	return q
}

// at returns the URL of a route of the server. The server's URL is http,
// https, ws or wss, and may be a bare host:port. Its own path and query are
// not used.
func at(server string, escapedPath string, query url.Values) (string, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", vera.Errorf(vera.InvalidParameter, "server: %v", err)
	}
	switch u.Scheme {
	case "http", "https":
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	default:
		return "", vera.Errorf(vera.InvalidParameter, "server: %q begins with none of http, https, ws, wss", server)
	}
	if u.Host == "" {
		return "", vera.Errorf(vera.InvalidParameter, "server: %q names no host", server)
	}
	return u.Scheme + "://" + u.Host + escapedPath + suffix(query), nil
}

func suffix(query url.Values) string {
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

// Option shapes one request.
type Option func(*request)

// Limit asks for the first n items only, 0 or more. Of a watch: it is told of
// changes among these.
func Limit(n int) Option { return func(r *request) { r.Limit = &n } }

// Consistent makes a get linearizable: the leader confirms it.
func Consistent() Option { return func(r *request) { r.Consistent = true } }

// MinIndex makes a get wait, for a bounded time, until the peer has applied
// that index: read your writes, across peers.
func MinIndex(index uint64) Option { return func(r *request) { r.MinIndex = index } }

// IfMatch makes a push, an update or a removal depend on the list's etag being
// this one still; "0" is that of an empty list.
func IfMatch(etag string) Option { return func(r *request) { r.IfMatch = &etag } }

// Once makes a push happen at most once in the session's life. The key is the
// caller's, chosen at random, of 1 to 128 bytes.
func Once(key string) Option { return func(r *request) { r.Once = key } }

// Since tells a watch what its maker knows already: the list as it was at that
// index. If it did not change, the answer's Listing.Items is nil.
func Since(index uint64) Option { return func(r *request) { r.Since = index } }

// NoItems makes a watch tell differences only, for long lists.
func NoItems() Option {
	no := false
	return func(r *request) { r.Items = &no }
}

// IfNoneMatch makes a Get over HTTP answer Unchanged while the list's etag is
// this one.
func IfNoneMatch(etag string) Option { return func(r *request) { r.noneMatch = etag } }

// Wait makes a Get over HTTP with IfNoneMatch wait that long for a change.
func Wait(d time.Duration) Option { return func(r *request) { r.wait = d } }
