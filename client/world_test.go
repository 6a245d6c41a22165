package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// world is a cluster for tests, in this process, over pipes, as far as clients
// can tell: what it is asked to do is done at once and everywhere.
type world struct {
	t           *testing.T
	server      *http.Server
	mu          sync.Mutex
	index       uint64
	names       []string
	leader      string
	dead        map[string]bool // nobody is there
	mute        map[string]bool // hears and says nothing
	stuck       map[string]bool // takes writes and neither does nor answers them
	lists       map[string][]Item
	lives       map[string]*life // by cookie
	guests      []*guest
	cookies     int
	safe        time.Duration // what pings are promised
	unavailable int           // how many writes are refused with Unavailable
	lag         time.Duration // between a ping and its answer
	promised    time.Time     // when the ping came that was answered last, with a lag
	slow        string        // who lets the next one wait who dials
	refuse      int           // status that handshakes are refused with; 0: none
	heard       []heard       // every request, in its order
	dialled     []string
	left        []string // how clients closed: "peer code", and how many of theirs stayed
}

type heard struct {
	peer string
	asked
}

// life is a session.
type life struct {
	resumed bool
	held    []Held
	watches map[string]Watched
	once    map[string]uint64
}

// guest is a connection.
type guest struct {
	world   *world
	peer    string
	cookie  string
	life    *life
	loud    bool
	graceMs int64
	killed  bool
	first   bool // the session's life began with it
	socket  *websocket.Conn
	cut     context.CancelFunc
	out     chan []byte
	told    map[string][]Item
}

func newWorld(t *testing.T, names ...string) *world {
	w := &world{
		t: t, names: names, leader: names[0], index: 100, safe: 2 * time.Second,
		dead: map[string]bool{}, mute: map[string]bool{}, stuck: map[string]bool{}, lists: map[string][]Item{}, lives: map[string]*life{},
	}
	w.server = &http.Server{Handler: http.HandlerFunc(w.serve)}
	return w
}

// options returns what a client needs to get there.
func (w *world) options() Options {
	began := time.Now()
	return Options{
		HTTP:  &http.Client{Transport: &http.Transport{DialContext: w.dial, DisableKeepAlives: true}},
		clock: func() time.Duration { return time.Hour + time.Since(began) },
	}
}

// door is a listener that has one connection to give.
type door struct {
	conns chan net.Conn
	addr  net.Addr
}

func (d *door) Accept() (net.Conn, error) {
	conn, more := <-d.conns
	if !more {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (d *door) Close() error   { return nil }
func (d *door) Addr() net.Addr { return d.addr }

func (w *world) dial(_ context.Context, _, address string) (net.Conn, error) {
	name, _, _ := strings.Cut(address, ":")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialled = append(w.dialled, name)
	if w.slow == name {
		w.slow = ""
		w.mu.Unlock()
		<-time.After(1500 * time.Millisecond)
		w.mu.Lock()
	}
	if w.dead[name] {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	d := &door{conns: make(chan net.Conn, 1), addr: there.LocalAddr()}
	d.conns <- there
	close(d.conns)
	go w.server.Serve(d)
	return here, nil
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.Host, ":")
	w.mu.Lock()
	refuse := w.refuse
	cookie := r.Header.Get("Cookie")
	if cookie == "" {
		w.cookies++
		cookie = fmt.Sprintf("vera-12345678=made.%d", w.cookies)
		http.SetCookie(rw, &http.Cookie{Name: "vera-12345678", Value: fmt.Sprintf("made.%d", w.cookies)})
	}
	w.mu.Unlock()
	if refuse != 0 {
		rw.WriteHeader(refuse)
		fmt.Fprint(rw, `{"code":"InvalidParameter","message":"graceMs: 0 to 600000"}`)
		return
	}
	socket, err := websocket.Accept(rw, r, nil)
	if err != nil {
		return
	}
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	g := &guest{world: w, peer: name, cookie: cookie, loud: r.URL.Query().Get("notify") != "false", socket: socket, cut: cut, out: make(chan []byte, 10_000), told: map[string][]Item{}}
	g.graceMs = 2000
	if wish := r.URL.Query().Get("graceMs"); wish != "" {
		g.graceMs, _ = strconv.ParseInt(wish, 10, 64) // the client's own writing
	}
	go g.write(ctx)
	w.admit(g)
	g.read(ctx)
	_ = socket.CloseNow()
}

func (w *world) admit(g *guest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g.life = w.lives[g.cookie]
	if g.first = g.life == nil; g.first {
		g.life = &life{watches: map[string]Watched{}, once: map[string]uint64{}}
		w.lives[g.cookie] = g.life
	}
	w.guests = append(w.guests, g)
	for path := range g.life.watches {
		g.reset(path)
	}
}

func (g *guest) write(ctx context.Context) {
	for {
		select {
		case m := <-g.out:
			if g.socket.Write(ctx, websocket.MessageText, m) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (g *guest) read(ctx context.Context) {
	for {
		_, message, err := g.socket.Read(ctx)
		if err != nil {
			g.gone(err)
			return
		}
		var a asked
		if err := json.Unmarshal(message, &a); err != nil {
			g.world.t.Errorf("the client sent %s: %v", message, err)
		}
		g.world.mu.Lock()
		if !g.world.mute[g.peer] && !g.killed {
			g.take(a)
		}
		g.world.mu.Unlock()
	}
}

func (g *guest) gone(err error) {
	w := g.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.guests = slices.DeleteFunc(w.guests, func(other *guest) bool { return other == g })
	if code := websocket.CloseStatus(err); code > 0 {
		w.left = append(w.left, fmt.Sprintf("%s %d, %d stay", g.peer, code, len(w.guests)))
	}
}

func (g *guest) say(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	if !g.world.mute[g.peer] {
		g.out <- text
	}
}

// answer is what the world answers and tells.
type answer map[string]any

func (g *guest) answer(a asked, v answer) {
	v["rid"] = a.RID
	if v["code"] == nil {
		v["code"] = "OK"
	}
	g.say(v)
}

// take does what is asked. The caller holds mu.
func (g *guest) take(a asked) {
	w := g.world
	w.heard = append(w.heard, heard{g.peer, a})
	switch a.Action {
	case "session":
		s := Session{Session: "s", Resumed: !g.first, GraceMs: g.graceMs, SafeMs: w.safe.Milliseconds(), Peer: g.peer, Leader: w.leader, Index: w.index, Items: g.life.held}
		for _, known := range g.life.watches {
			s.Watches = append(s.Watches, known)
		}
		text, _ := json.Marshal(s)
		v := answer{}
		_ = json.Unmarshal(text, &v)
		g.answer(a, v)
	case "ping":
		v := answer{"safeMs": w.safe.Milliseconds(), "index": w.index}
		if w.lag == 0 {
			g.answer(a, v)
			return
		}
		promised := time.Now()
		time.AfterFunc(w.lag, func() {
			w.do(func() {
				if !w.mute[g.peer] {
					w.promised = promised
				}
				g.answer(a, v)
			})
		})
	case "push", "update", "remove":
		switch {
		case w.stuck[g.peer]:
		case w.unavailable > 0:
			w.unavailable--
			g.answer(a, answer{"code": "Unavailable", "message": "no leader", "applied": "unknown"})
		default:
			g.change(a)
		}
	case "get":
		g.answer(a, g.listing(a.Path, a.Limit))
	case "watch":
		g.life.watches[a.Path] = Watched{Path: a.Path, Limit: a.Limit, Items: a.Items}
		v := g.listing(a.Path, a.Limit)
		g.told[a.Path] = v["items"].([]Item)
		g.answer(a, v)
		for _, other := range w.guests {
			if other != g && other.life == g.life {
				other.reset(a.Path)
			}
		}
	case "unwatch":
		delete(g.life.watches, a.Path)
		g.answer(a, answer{})
	case "close":
		g.answer(a, answer{})
		w.end(g.cookie)
	}
}
