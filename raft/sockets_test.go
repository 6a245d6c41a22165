package raft

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// real are peers with sockets and disks.
type real struct {
	t         *testing.T
	dir       string
	addresses map[string]string // of those started last
	peers     map[string]*Raft
	ended     map[string]chan error
}

// start starts peers at new addresses. They are told to join all, and so many
// are expected.
func (p *real) start(expect int, names ...string) {
	p.t.Helper()
	listeners := map[string]net.Listener{}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.t.Fatal(err)
		}
		listeners[name], p.addresses[name] = l, l.Addr().String()
	}
	var starting sync.WaitGroup
	var mu sync.Mutex
	for _, name := range names {
		words := make(chan error, 1)
		p.ended[name] = words
		o := Options{
			Dir: filepath.Join(p.dir, name), Name: name, PeerListener: listeners[name], Secret: secret, Expect: expect,
			ClientURL: "http://" + name, FailoverGrace: 10 * time.Second, Logger: zerolog.Nop(), Fatal: func(err error) { words <- err },
		}
		for _, address := range p.addresses {
			o.Join = append(o.Join, address)
		}
		starting.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			r, err := Open(ctx, o)
			if err != nil {
				p.t.Errorf("open %s: %v", name, err)
				return
			}
			mu.Lock()
			p.peers[name] = r
			mu.Unlock()
		})
	}
	starting.Wait()
	if p.t.Failed() {
		p.t.FailNow()
	}
}

func (p *real) stop(names ...string) {
	p.t.Helper()
	for _, name := range names {
		if err := p.peers[name].Close(); err != nil {
			p.t.Errorf("close %s: %v", name, err)
		}
		delete(p.peers, name)
		delete(p.addresses, name)
	}
}

func (p *real) eventually(what string, holds func() bool) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); !holds(); <-tick.C {
		if time.Now().After(end) {
			for name, r := range p.peers {
				p.t.Logf("%s: %+v", name, listed(r))
			}
			p.t.Fatalf("not in time: %s", what)
		}
	}
}

// together says whether on all peers all vote, and are where they listen.
func (p *real) together() bool {
	for _, r := range p.peers {
		all := listed(r)
		if len(all) != len(p.peers) || all[0].Role != "leader" {
			return false
		}
		for _, one := range all {
			if one.Role == "observer" || one.Client != "http://"+one.Name || one.Peer != "https://"+p.addresses[one.Name] {
				return false
			}
		}
	}
	return true
}

// Three expected peers over HTTPS; then all come back at other addresses, of
// which each is told only by --join; then one is removed, and another comes.
func TestPeersOverSockets(t *testing.T) {
	p := &real{t: t, dir: t.TempDir(), addresses: map[string]string{}, peers: map[string]*Raft{}, ended: map[string]chan error{}}
	p.start(3, "a", "b", "c")
	defer func() {
		for name := range p.peers {
			p.stop(name)
		}
	}()
	p.eventually("three vote", p.together)
	pushed(t, p.peers["b"], "/data/x", 1)

	p.stop("a", "b", "c")
	p.start(3, "a", "b", "c")
	p.eventually("three vote again", p.together)
	pushed(t, p.peers["c"], "/data/x", 2)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.peers["b"].Remove(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	select {
	case last := <-p.ended["c"]:
		if !strings.Contains(last.Error(), "was removed from the cluster") {
			t.Error(last)
		}
	case <-ctx.Done():
		t.Error("c was not told that it was removed")
	}
	p.stop("c")
	p.start(0, "d")
	p.eventually("d votes", p.together)
	if l, _ := p.peers["d"].Machine().List("/data/x"); l.Len() == 0 {
		t.Error("d has nothing of what was pushed")
	}
}
