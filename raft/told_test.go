package raft

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vera/test/bubble"
)

// logged is what peers log, for reading while they run.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps p.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count returns how many lines have all these words.
func (l *logged) count(words ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			n++
		}
	}
	return n
}

// An operator reads of a peer that dies and comes back, by its name.
func TestOperatorIsToldWhoIsGoneAndWhoIsUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var log logged
		c := newClusterWith(t, func(o *Options) { o.Logger = zerolog.New(&log) }, "a", "b", "c")
		defer c.close()
		leader := c.leader(c.names...)
		dead := c.others(leader)[0]
		name := `"peer":"` + dead + `"`
		until(t, "all are up", 5*time.Second, func() bool { return log.count(name, "a peer is up") > 0 })
		if n := log.count("a peer is gone"); n != 0 {
			t.Errorf("%d are gone at the start", n)
		}
		before := log.count(name, "a peer is up")
		c.crash(dead)
		until(t, "it is said to be gone", 10*time.Second, func() bool {
			return log.count(`"level":"info"`, name, `"grace":10000`, `"message":"a peer is gone"`) > 0
		})
		if n := log.count("a peer is gone") - log.count(name, "a peer is gone"); n != 0 {
			t.Errorf("%d others are said to be gone", n)
		}
		c.open(dead)
		until(t, "it is said to be up", 10*time.Second, func() bool {
			return log.count(`"level":"info"`, name, `"message":"a peer is up"`) > before
		})
	})
}
