package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	veraclient "vera/client"
	"vera/test/lean"
)

// entry is what every system is given to keep: 100 bytes.
var entry = []byte(`{"data":"` + strings.Repeat("x", 89) + `"}`)

// leanClient speaks to Vera with the least effort. Once it watches, its reader
// runs beside it, and it puts nothing more.
type leanClient struct {
	c       *lean.Client
	request []byte
	list    string
	reading sync.WaitGroup
}

func dialLean(addr string, crash bool) (client, error) {
	query := "?graceMs=10000"
	if crash {
		query = "?graceMs=0"
	}
	c, err := lean.Dial(addr, query, 4096)
	if err != nil {
		return nil, err
	}
	return &leanClient{c: c}, nil
}

func (l *leanClient) put(list string) error {
	if list != l.list {
		l.list = list
		l.request = fmt.Appendf(nil, `{"rid":1,"action":"push","path":"/data/%s","limit":0,"data":%s}`, list, entry)
	}
	_, err := l.c.Ask(l.request)
	return err
}

func (l *leanClient) watch(list string, told func()) error {
	if _, err := l.c.Ask(fmt.Appendf(nil, `{"rid":1,"action":"watch","path":"/data/%s","items":false}`, list)); err != nil {
		return err
	}
	l.reading.Go(func() {
		for {
			message, err := l.c.Receive()
			if err != nil {
				return
			}
			if bytes.Contains(message, []byte(`"action":"notify"`)) {
				told()
			}
		}
	})
	return nil
}

func (l *leanClient) die() error { return l.c.Conn.Close() }

func (l *leanClient) close() error {
	_ = l.c.Conn.Close() // it may be dead
	l.reading.Wait()
	return nil
}

// goClient is Vera's own client for Go.
type goClient struct {
	c       *veraclient.Connection
	conn    net.Conn
	reading sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

func dialGo(addr string, crash bool) (client, error) {
	g := &goClient{}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		g.conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return g.conn, err
	}}
	o := veraclient.Options{Grace: 10 * time.Second, HTTP: &http.Client{Transport: transport}}
	if crash {
		o.Grace = veraclient.NoGrace
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	var err error
	g.c, err = veraclient.Dial(g.ctx, "http://"+addr, o)
	return g, err
}

func (g *goClient) put(list string) error {
	ctx, cancel := context.WithTimeout(g.ctx, 20*time.Second)
	defer cancel()
	_, err := g.c.Push(ctx, "/data/"+list, json.RawMessage(entry), veraclient.Limit(0))
	return err
}

func (g *goClient) watch(list string, told func()) error {
	w, _, err := g.c.Watch(g.ctx, "/data/"+list, veraclient.NoItems())
	if err != nil {
		return err
	}
	g.reading.Go(func() {
		for {
			if _, err := w.Next(g.ctx); err != nil {
				return
			}
			told()
		}
	})
	return nil
}

func (g *goClient) die() error { return g.conn.Close() }

func (g *goClient) close() error {
	g.cancel()
	g.c.Abort()
	g.reading.Wait()
	return nil
}
