package link

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

func isStatus(err error, status int) bool {
	refused, ok := errors.AsType[*Refused](err)
	return ok && refused.Status == status
}

// anonymous connects without a certificate.
func anonymous(t *testing.T, to *peer) *tls.Conn {
	return connected(t, to, &tls.Config{InsecureSkipVerify: true})
}

// withCertificate connects with the certificate of a key that nobody knows.
func withCertificate(t *testing.T, to *peer) *tls.Conn {
	own, err := certify(newKey(t), "nobody")
	if err != nil {
		t.Fatal(err)
	}
	return connected(t, to, clientTLS(own, ""))
}

func connected(t *testing.T, to *peer, c *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", to.host, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// metric returns a metric of a peer, by the value of its label or "".
func (p *peer) metric(name, label string) float64 {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == name && (label == "" || m.Label[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestStrangersAreFewAndBrief(t *testing.T) {
	b := newPeer(t, func(_ *Options, l *limits) { l.head, l.stranger = time.Minute, 2*time.Second })
	a := newPeer(t, nil)
	b.trust(a)
	for range maxStrangers + 50 {
		c, err := net.Dial("tcp", b.host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	if _, err := a.Call(within(t), b.host, b.KeyID(), "greet", nil); err != nil {
		t.Fatalf("a member among strangers: %v", err)
	}
	b.Link.mu.Lock()
	strangers := b.strangers
	b.Link.mu.Unlock()
	if strangers > maxStrangers {
		t.Errorf("%d strangers, at most %d", strangers, maxStrangers)
	}
	if n := b.metric("vera_peer_refused_total", "crowded"); n < 50 {
		t.Errorf("%v made room, want 50 or more", n)
	}
	eventually(t, "all strangers are gone, the member is not", func() bool { return b.count(true) == 1 })
}

func TestMembersFillTheHouse(t *testing.T) {
	b := newPeer(t, nil)
	for range maxWires {
		if w := b.welcome(pretend()); w == nil {
			t.Fatal("no room")
		} else {
			b.Link.mu.Lock()
			w.rise(member)
			b.Link.mu.Unlock()
		}
	}
	if b.welcome(pretend()) != nil {
		t.Error("there was room for one more")
	}
	for _, w := range b.open() {
		w.Close()
		w.Close() // counts once
	}
	if b.count(true) != 0 || b.strangers != 0 {
		t.Errorf("%d connections, %d strangers after all were closed", b.count(true), b.strangers)
	}
}

func pretend() net.Conn {
	c, other := net.Pipe()
	_ = other.Close()
	return c
}

func TestASlowHeadIsClosed(t *testing.T) {
	b := newPeer(t, func(_ *Options, l *limits) { l.head, l.stranger = time.Second, time.Minute })
	drip := func(c net.Conn, what string) (err error) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; err == nil && i < 300; i++ {
			<-tick.C
			_, err = c.Write([]byte{what[i%len(what)]})
		}
		return err
	}
	plain, err := net.Dial("tcp", b.host)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if drip(plain, "\x16\x03\x01\x02\x00\x01") == nil {
		t.Error("a handshake may drip for ever")
	}
	if drip(anonymous(t, b), "GET / HTTP/1.1\r\nX: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") == nil {
		t.Error("a head may drip for ever")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	b := newPeer(t, nil)
	for _, c := range []*tls.Config{
		{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		{InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	} {
		if conn, err := tls.Dial("tcp", b.host, c); err == nil {
			conn.Close()
			t.Errorf("%+v was accepted", c)
		}
	}
}
