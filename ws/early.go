package ws

import (
	"log"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"vera"
)

// Early answers on a listener of a peer that is not up yet: that may take as
// long as others take to come, and whoever watches over the process must not
// end it for that; clients are to try another peer.
type Early struct {
	listener *net.TCPListener
	http     *http.Server
	done     chan struct{}
}

// ServeEarly has /livez answered with 200, and all else with 503, until End.
func ServeEarly(l *net.TCPListener, logger zerolog.Logger) *Early {
	e := &Early{listener: l, done: make(chan struct{})}
	e.http = &http.Server{
		Handler:        http.HandlerFunc(early),
		ReadTimeout:    5 * time.Second,
		WriteTimeout:   5 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       log.New(debugLog{logger}, "", 0),
	}
	e.http.SetKeepAlivesEnabled(false)
	go func() {
		defer close(e.done)
		_ = e.http.Serve(kept{l}) // it ends with End; whatever else fails, the server behind it is told as well
	}()
	return e
}

func early(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/livez" {
		_, _ = w.Write([]byte("ok\n")) // that the client left meanwhile is nobody's concern
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(vera.AppendError(nil, nil, vera.Errorf(vera.Unavailable, "this peer is not up yet; its log says what it waits for")))
}

// End ends it and leaves the listener open for the server to come. It may be
// called again.
func (e *Early) End() {
	_ = e.http.Close()
	<-e.done
	_ = e.listener.SetDeadline(time.Time{})
}

// kept is a listener that only ceases to accept when it is closed.
type kept struct{ *net.TCPListener }

// Close has Accept return.
func (k kept) Close() error { return k.SetDeadline(time.Unix(1, 0)) }
