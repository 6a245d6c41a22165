package faults

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"
	"time"

	"vera"
	"vera/test/cluster"
	"vera/test/history"
	"vera/test/lean"
)

// guest is a client whose every word is recorded. One goroutine uses it; each
// of its connections has one that reads.
type guest struct {
	r        *history.Recorder
	c        *cluster.Cluster
	name     string
	grace    time.Duration
	patience time.Duration // for an answer; 0: 8 s
	life     *history.Life
	solid    bool // the log is known to have, or to have had, the life
	session  string
	cookie   string
	former   []string // sessions that were given up without knowing whether they had begun

	at      *cluster.Peer
	conn    *lean.Client
	id      string                    // of the connection, in the history
	ended   *error                    // why the connection's reader ended; set before heard is closed
	heard   chan []byte               // what the connection reads; closed at its end
	reading sync.WaitGroup            // its reader
	watches map[string]*history.Watch // of the connection
	conns   int
	rid     int
}

var errGone = errors.New("the connection is gone")

// connect connects to a peer and asks who it is now.
func (g *guest) connect(at *cluster.Peer) error {
	var header []string
	if g.cookie != "" {
		header = append(header, "Cookie: "+g.cookie+"\r\n")
	}
	conn, err := lean.Dial(at.Client, fmt.Sprintf("?graceMs=%d&heartbeatMs=1000", g.grace.Milliseconds()), 4096, header...)
	if err != nil {
		return err
	}
	if conn.Cookie != "" {
		g.cookie = conn.Cookie
	}
	g.conns++
	g.at, g.conn, g.id = at, conn, fmt.Sprintf("%s.%d", g.name, g.conns)
	g.heard = make(chan []byte, 4096)
	g.watches = map[string]*history.Watch{}
	heard, ended := g.heard, new(error)
	g.ended = ended
	g.reading.Go(func() {
		defer close(heard)
		for {
			message, err := conn.Receive()
			if err != nil {
				*ended = err
				return
			}
			heard <- bytes.Clone(message)
		}
	})
	return g.introduce()
}

// introduce asks for the session, and takes note of a life that is over.
func (g *guest) introduce() error {
	answer, err := g.ask(history.Operation{Action: vera.ActionSession}, `"action":"session"`) // of which life, the answer tells
	if err != nil {
		return err
	}
	if g.life != nil && answer.Resumed {
		g.solid = true
		return nil
	}
	if g.life != nil && !g.solid {
		// It had not begun, and what was asked for and never answered may begin
		// it yet, or began it and it ended: this guest goes on as another.
		g.former = append(g.former, g.session)
		g.life, g.cookie = nil, ""
		return g.drop()
	}
	if g.life != nil {
		g.r.Over(g.life)
	}
	g.session, g.life, g.solid = answer.Session, g.r.Begin(answer.Session), false
	return nil
}

// ask sends a request and listens until its answer is there. An error says that
// the connection is gone.
func (g *guest) ask(o history.Operation, fields string) (history.Message, error) {
	if g.conn == nil {
		return history.Lost(), errGone
	}
	g.rid++
	o.Connection, o.Peer = g.id, g.at.Name
	if o.Life == nil && o.Action != vera.ActionSession {
		o.Life = g.life
	}
	op := g.r.Call(o)
	rid := strconv.Itoa(g.rid)
	if err := g.conn.Conn.SetWriteDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return history.Lost(), g.drop()
	}
	err := g.conn.Send([]byte(`{"rid":` + rid + `,` + fields + `}`))
	if errors.Join(err, g.conn.Conn.SetWriteDeadline(time.Time{})) != nil { // pongs are written later
		return history.Lost(), g.drop()
	}
	late := time.NewTimer(cmp.Or(g.patience, 8*time.Second)) // a peer's own bound is five
	defer late.Stop()
	for {
		select {
		case text, more := <-g.heard:
			if !more {
				return history.Lost(), g.drop()
			}
			m, err := history.Parse(text)
			if err != nil {
				return m, err
			}
			if string(m.RID) == rid {
				g.answered(op, m)
				return m, nil
			}
			g.told(m)
		case <-late.C:
			return history.Lost(), g.drop()
		}
	}
}

// answered records an answer. What begins a watch is recorded before anything
// behind it is read.
func (g *guest) answered(op *history.Operation, m history.Message) {
	g.r.Return(op, m)
	switch {
	case m.Code == vera.SessionEnded:
		g.r.Over(g.life)
	case op.Action == vera.ActionPush && m.Code == vera.OK:
		g.solid = true
	case op.Action == vera.ActionWatch && m.Code == vera.OK:
		if old := g.watches[op.Path]; old != nil {
			old.End()
		}
		g.watches[op.Path] = g.r.Watch(history.Watch{Connection: g.id, Path: op.Path, Limit: op.Limit, Answer: &m})
	case op.Action == vera.ActionUnwatch && m.Code == vera.OK:
		if old := g.watches[op.Path]; old != nil {
			old.End()
		}
		delete(g.watches, op.Path)
	}
}

// limit is how many items of a list this guest watches: always as many, so that
// a watch that it has from before, or asked for and was not answered, is known.
func (g *guest) limit(path string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.name + path)) // never fails
	if h.Sum32()%4 == 0 {
		return 1
	}
	return vera.NoLimit
}

// told records a notification. One of a list that this connection did not ask
// for is of a watch that the session has from before.
func (g *guest) told(m history.Message) {
	if m.Action != vera.ActionNotify {
		return
	}
	w := g.watches[m.Path]
	if w == nil {
		w = g.r.Watch(history.Watch{Connection: g.id, Path: m.Path, Limit: g.limit(m.Path)})
		g.watches[m.Path] = w
	}
	w.Notified(m)
}

// listen takes what comes for a while.
func (g *guest) listen(d time.Duration) error {
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		select {
		case text, more := <-g.heard:
			if !more {
				return g.drop()
			}
			m, err := history.Parse(text)
			if err != nil {
				return err
			}
			g.told(m)
		case <-over.C:
			return nil
		}
	}
}

// drop cuts the connection, without a word, and records what was still read.
func (g *guest) drop() error {
	if g.conn == nil {
		return errGone
	}
	_ = g.conn.Conn.Close() // it may be closed already
	for text := range g.heard {
		if m, err := history.Parse(text); err == nil {
			g.told(m)
		}
	}
	g.reading.Wait()
	for _, w := range g.watches {
		w.End()
	}
	g.conn = nil
	return fmt.Errorf("%w: %s at %s: %w", errGone, g.id, g.at.Name, *g.ended)
}

// leave says goodbye with a Close frame: its session may end at once.
func (g *guest) leave() {
	if g.conn == nil {
		return
	}
	g.r.Leave(g.life)
	_, _ = g.conn.Conn.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 3, 232}) // 1000
	_ = g.listen(20 * time.Millisecond)
	_ = g.drop()
}

// live makes sure of a connection, at any peer. The order of trying begins at n.
func (g *guest) live(n int, patience time.Duration) error {
	if g.conn != nil {
		return nil
	}
	return cluster.Ask(patience, func() error {
		n++
		peers := g.c.Peers
		err := g.connect(peers[n%len(peers)])
		if err != nil && g.conn != nil {
			_ = g.drop()
		}
		return err
	})
}

// stay makes sure of a connection that is answered.
func (g *guest) stay(n int, patience time.Duration) error {
	return cluster.Ask(patience, func() error {
		if err := g.live(n, patience); err != nil {
			return err
		}
		_, err := g.ask(history.Operation{Action: vera.ActionPing}, `"action":"ping"`)
		return err
	})
}
