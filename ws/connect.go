package ws

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"

	gobwas "github.com/gobwas/ws"

	"vera"
)

// protocol is the WebSocket subprotocol by which version 0 can be asked for.
const protocol = "vera-0"

// hello reads who the client is and how it wants its session. The cookie is nil
// when the client has one that is ours.
func (v *visit) hello() (h vera.Hello, fresh *http.Cookie, err error) {
	l := &v.site.Limits
	label, err1 := v.query.label()
	grace, err2 := v.query.millis("graceMs", l.DefaultGrace, 0, l.Grace)
	heartbeat, err3 := v.query.millis("heartbeatMs", l.Heartbeat, l.MinHeartbeat, l.MaxHeartbeat)
	local, err4 := v.query.boolean("local", false)
	notify, err5 := v.query.boolean("notify", true)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			return h, nil, err
		}
	}
	secret, offered := v.site.jar.find(v.r, v.secure())
	if !offered {
		secret, fresh = v.site.jar.mint(v.secure())
	}
	return vera.Hello{
		Session:   vera.SessionOf(secret, label),
		Offered:   offered,
		Owner:     v.owner(),
		Grace:     grace,
		Heartbeat: heartbeat,
		Local:     local,
		Quiet:     !notify,
	}, fresh, nil
}

// session answers what the client is, and gives it its cookie.
func (v *visit) session() error {
	hello, fresh, err := v.hello()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), v.site.Limits.Leader)
	defer cancel()
	info, err := v.site.service.Session(ctx, hello)
	if err != nil {
		return err
	}
	if fresh != nil {
		http.SetCookie(v.w, fresh)
	}
	v.w.Header().Set("Cache-Control", "no-store")
	v.answer(http.StatusOK, vera.AppendSession(nil, nil, info))
	return nil
}

// connect makes a WebSocket of the connection. It is the last visit in any
// case: what comes behind the head are frames.
func (v *visit) connect() error {
	v.end()
	if v.site.draining() {
		return vera.Errorf(vera.Unavailable, "this peer is going away: try another one")
	}
	if err := v.checkUpgrade(); err != nil {
		return err
	}
	hello, fresh, err := v.hello()
	if err != nil {
		return err
	}
	response, err := v.handshake(fresh)
	if err != nil {
		return err
	}
	if crowded := v.guard.countFor(v.address()); crowded != nil {
		return crowded
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), v.site.Limits.Leader)
	defer cancel()
	s := v.site.sockets.Socket(hello.Heartbeat)
	connection, err := v.site.service.Connect(ctx, hello, s)
	if err != nil {
		return err
	}
	if _, _, err := http.NewResponseController(v.w).Hijack(); err != nil {
		connection.Closed(vera.EndedLost)
		return err
	}
	conn, rest, counted, ok := v.guard.release()
	if !ok {
		connection.Closed(vera.EndedLost)
		return nil
	}
	s.Start(connection, conn, response, rest, v.site.leaver(counted))
	return nil
}

// checkUpgrade checks what gobwas' handshake takes too lightly, and the
// version.
func (v *visit) checkUpgrade() error {
	header := v.r.Header
	version, key := header.Get("Sec-WebSocket-Version"), header.Get("Sec-WebSocket-Key")
	nonce, err := base64.StdEncoding.Strict().DecodeString(key)
	switch {
	case header.Get("Upgrade") == "":
		v.w.Header().Set("Upgrade", "websocket")
		return refuse(426, vera.InvalidParameter, "Upgrade: this route is a WebSocket; a proxy in between must pass Upgrade and Connection on")
	case version == "":
		return refuse(400, vera.InvalidParameter, "Sec-WebSocket-Version: missing; it is 13")
	case version != "13":
		v.w.Header().Set("Sec-WebSocket-Version", "13")
		return refuse(426, vera.InvalidParameter, "Sec-WebSocket-Version: only 13 is served")
	case err != nil || len(nonce) != 16:
		return refuse(400, vera.InvalidParameter, "Sec-WebSocket-Key: 16 bytes in base64")
	}
	return nil
}

// handshake returns the 101 with a cookie, made by gobwas in memory.
func (v *visit) handshake(fresh *http.Cookie) ([]byte, error) {
	offered := len(v.r.Header.Values("Sec-WebSocket-Protocol")) > 0
	var response bytes.Buffer
	upgrader := gobwas.Upgrader{Protocol: func(p []byte) bool { return string(p) == protocol }}
	if fresh != nil {
		upgrader.Header = gobwas.HandshakeHeaderString("Set-Cookie: " + fresh.String() + "\r\n")
	}
	agreed, err := upgrader.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(v.guard.raw), &response})
	if rejected, ok := errors.AsType[*gobwas.ConnectionRejectedError](err); ok {
		return nil, refuse(rejected.StatusCode(), vera.InvalidParameter, "%s", strings.ReplaceAll(rejected.Error(), `"`, ""))
	}
	if err != nil {
		return nil, refuse(400, vera.InvalidParameter, "head: %v", err)
	}
	if offered && agreed.Protocol == "" {
		return nil, refuse(400, vera.InvalidParameter, "Sec-WebSocket-Protocol: none of those is served, only %s", protocol)
	}
	return response.Bytes(), nil
}
