package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// theatre is a server of the vectors, which does what they say, over pipes and
// in fake time.
type theatre struct {
	t     *testing.T
	began time.Time

	mu       sync.Mutex
	up       bool
	muted    bool
	graceMs  int64
	safeMs   int64
	delay    time.Duration
	resumed  bool // what the next session is told
	index    uint64
	next     uint64 // of the version that the next push gets
	items    []uint64
	held     []uint64 // those of the client
	players  map[*player]bool
	ahead    time.Duration // by so much the client's clock is ahead of the bubble's: it stood still
	promised time.Duration // by that clock: no client leads from then on
	watched  string        // the watches that the session has, as it is told
	watching func(*player, saying)
	writes   func(*player, saying)
	pushes   int
}

// player is one connection at the server's end.
type player struct {
	theatre *theatre
	socket  *websocket.Conn
	pipe    net.Conn
	limit   int
	watches bool
	writing sync.Mutex
}

// saying is a request of the client.
type saying struct {
	RID     json.RawMessage
	Action  string
	Path    string
	Limit   *int
	Items   *bool
	Version uint64
	Once    string
	Data    json.RawMessage
}

const theatrePath = "/data/a"

func newTheatre(t *testing.T) *theatre {
	s := &theatre{t: t, began: time.Now(), up: true, graceMs: 3000, safeMs: 3000, index: 100, players: map[*player]bool{}}
	s.watching, s.writes = s.watch, func(_ *player, m saying) { t.Errorf("the client sent %+v", m) }
	return s
}

// clock is the client's.
func (s *theatre) clock() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.began) + s.ahead
}

// options are those of a client of this server.
func (s *theatre) options() Options {
	return Options{Connections: One, clock: s.clock, HTTP: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return s.dial() },
	}}}
}

func (s *theatre) dial() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return nil, errors.New("nobody listens")
	}
	here, there := net.Pipe()
	l := &once{conn: here, served: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.connect(here, w, r) })}
	go func() { _ = server.Serve(l) }() // it ends when the pipe was served
	return there, nil
}

// once is a listener of one connection.
type once struct {
	conn   net.Conn
	taken  bool
	served chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	if l.taken {
		return nil, net.ErrClosed
	}
	l.taken = true
	return l.conn, nil
}
func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return l.conn.LocalAddr() }

func (s *theatre) connect(pipe net.Conn, w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "vera-theatre", Value: "secret"})
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	a := &player{theatre: s, socket: socket, pipe: pipe}
	s.mu.Lock()
	s.players[a] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.players, a)
		s.mu.Unlock()
		_ = pipe.Close()
	}()
	for {
		_, text, err := socket.Read(context.Background())
		if err != nil {
			return
		}
		var m saying
		if err := json.Unmarshal(text, &m); err != nil {
			s.t.Errorf("the client sent %s: %v", text, err)
		}
		s.hear(a, m)
	}
}

// say writes a message, unless nothing gets through.
func (a *player) say(format string, args ...any) {
	a.theatre.mu.Lock()
	muted := a.theatre.muted
	a.theatre.mu.Unlock()
	if muted {
		return
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	_ = a.socket.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, format, args...)) // a client that is gone hears nothing
}

func (a *player) ok(m saying, format string, args ...any) {
	a.say(`{"rid":%s,"code":"OK"%s}`, m.RID, fmt.Sprintf(format, args...))
}

func (s *theatre) hear(a *player, m saying) {
	s.mu.Lock()
	muted, index, watching := s.muted, s.index, s.watching
	s.mu.Unlock()
	if muted {
		return
	}
	switch m.Action {
	case "session":
		a.ok(m, "%s", s.session())
	case "ping":
		s.pinged(a, m)
	case "watch":
		if m.Path != theatrePath {
			a.ok(m, `,"index":%d,"etag":"%d","items":[{"version":1,"owner":"p","data":{"name":"p","client":"http://p","role":"leader"}}]`, index, index)
			return
		}
		watching(a, m)
	case "push", "update", "remove":
		s.writes(a, m)
	default:
		a.ok(m, `,"index":%d,"etag":"0"`, index)
	}
}

// watch has a connection watch the list.
func (s *theatre) watch(a *player, m saying) {
	s.mu.Lock()
	a.watches, a.limit = true, noLimit
	if m.Limit != nil {
		a.limit = *m.Limit
	}
	listing := s.listing(m.Limit)
	s.mu.Unlock()
	a.ok(m, "%s", listing)
}

// session is what the session action answers.
func (s *theatre) session() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := ""
	for i, version := range s.held {
		held += fmt.Sprintf(`%s{"path":%q,"version":%d}`, comma(i), theatrePath, version)
	}
	defer func() { s.resumed = true }() // from now on it lives
	return fmt.Sprintf(`,"session":"s","resumed":%v,"graceMs":%d,"heartbeatMs":10000,"safeMs":%d,"peer":"p","leader":"p","index":%d,"items":[%s],"watches":[%s]`,
		s.resumed, s.graceMs, s.safeMs, s.index, held, s.watched)
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// pinged answers a ping, and takes note until when it lets the client lead.
func (s *theatre) pinged(a *player, m saying) {
	sent := s.clock()
	s.mu.Lock()
	safe, delay, index := time.Duration(s.safeMs)*time.Millisecond, s.delay, s.index
	s.mu.Unlock()
	answer := func() {
		s.mu.Lock()
		if !s.muted {
			s.promised = max(s.promised, sent+safe-max(safe/10, 20*time.Millisecond))
		}
		s.mu.Unlock()
		a.ok(m, `,"safeMs":%d,"index":%d`, safe.Milliseconds(), index)
	}
	if delay == 0 {
		answer()
		return
	}
	time.AfterFunc(delay, answer)
}

// listing is the list as answers have it; the lock is held.
func (s *theatre) listing(limit *int) string {
	shown := s.items
	if limit != nil {
		shown = shown[:min(*limit, len(shown))]
	}
	items := ""
	for i, version := range shown {
		items += comma(i) + itemText(version)
	}
	return fmt.Sprintf(`,"index":%d,"etag":"%d","items":[%s]`, s.index, s.index, items)
}

func itemText(version uint64) string {
	return fmt.Sprintf(`{"version":%d,"owner":"::1","session":"s","data":{}}`, version)
}

// change makes the list another one and tells those who watch.
func (s *theatre) change(items []uint64, reason string) {
	s.mu.Lock()
	before := s.items
	s.items = items
	s.index = max(s.index+1, slices.Max(append(items, 0)))
	index := s.index
	var all []*player
	for a := range s.players {
		if a.watches {
			all = append(all, a)
		}
	}
	s.mu.Unlock()
	for _, a := range all {
		first := func(list []uint64) []uint64 {
			if a.limit != noLimit {
				list = list[:min(len(list), a.limit)]
			}
			return list
		}
		added, removed := "", ""
		for _, version := range first(items) {
			if !slices.Contains(first(before), version) {
				added += comma(len(added)) + itemText(version)
			}
		}
		for _, version := range first(before) {
			if !slices.Contains(items, version) {
				removed += fmt.Sprintf(`%s{"version":%d,"session":"s","reason":%q}`, comma(len(removed)), version, reason)
			}
		}
		if added != "" || removed != "" {
			a.say(`{"action":"notify","path":%q,"index":%d,"etag":"%d","added":[%s],"updated":[],"removed":[%s]}`, theatrePath, index, index, added, removed)
		}
	}
}

// all returns the connections that there are.
func (s *theatre) all() (all []*player) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.players {
		all = append(all, a)
	}
	return all
}

// cut resets all connections and lets none be made.
func (s *theatre) cut() {
	s.mu.Lock()
	s.up = false
	s.mu.Unlock()
	for _, a := range s.all() {
		_ = a.pipe.Close()
	}
}

// back lets connections be made again, to the session or to a new life of it.
func (s *theatre) back(resumed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up, s.resumed = true, resumed
	if !resumed {
		s.held = nil
	}
}
