package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"vera/client"
)

// frame writes one masked frame.
func (s *speaker) frame(opcode byte, payload []byte) {
	s.t.Helper()
	head := []byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	if _, err := s.Conn.Write(append(head, payload...)); err != nil {
		s.t.Fatalf("write a frame: %v", err)
	}
}

// goodbye writes a Close frame; code 0 is one without a code.
func (s *speaker) goodbye(code uint16) {
	s.t.Helper()
	if code == 0 {
		s.frame(8, nil)
		return
	}
	s.frame(8, binary.BigEndian.AppendUint16(nil, code))
}

// abort resets the TCP connection.
func (s *speaker) abort() {
	_ = s.Conn.(*net.TCPConn).SetLinger(0) // on a connection that is over already there is nothing to reset
	s.Conn.Close()
}

// ending is one way in which a client can go.
type ending struct {
	name   string
	query  string
	leave  func(s *speaker) // nil: it falls silent after its push
	after  time.Duration    // how long its item must stay, and may but for slack
	reason string
}

const (
	testGrace     = 600 * time.Millisecond
	testHeartbeat = 800 * time.Millisecond // more than slack: a third heartbeat would be seen
)

func endings() []ending {
	grace := fmt.Sprintf("?graceMs=%d", testGrace.Milliseconds())
	silent := fmt.Sprintf("&heartbeatMs=%d", testHeartbeat.Milliseconds())
	bye := func(code uint16) func(*speaker) { return func(s *speaker) { s.goodbye(code) } }
	return []ending{
		{"1000", grace, bye(1000), 0, "closed"},
		{"no code", grace, bye(0), 0, "closed"},
		{"action close", grace, func(s *speaker) { s.say(`{"action":"close"}`) }, 0, "closed"},
		{"1001", grace, bye(1001), testGrace, "expired"},
		{"3000", grace, bye(3000), testGrace, "expired"},
		{"4999", grace, bye(4999), testGrace, "expired"},
		{"reset", grace, (*speaker).abort, testGrace, "expired"},
		{"FIN without Close", grace, func(s *speaker) { s.Conn.Close() }, testGrace, "expired"},
		{"broken frame", grace, func(s *speaker) { _, _ = s.Conn.Write([]byte{0x81, 2, '{', '}'}) }, testGrace, "expired"},
		{"binary message", grace, func(s *speaker) { s.frame(2, []byte("x")) }, testGrace, "expired"},
		{"reset, grace 0", "?graceMs=0", (*speaker).abort, 0, "expired"},
		{"1001, grace 0", "?graceMs=0", bye(1001), 0, "expired"},
		{"1000, grace 0", "?graceMs=0", bye(1000), 0, "closed"},
		{"silence", grace + silent, nil, 2*testHeartbeat + testGrace, "expired"},
		{"silence, grace 0", "?graceMs=0" + silent, nil, 2 * testHeartbeat, "expired"},
		{"silence in a frame", grace + silent, func(s *speaker) { _, _ = s.Conn.Write([]byte{0x81}) }, 2*testHeartbeat + testGrace, "expired"},
		{"default grace", "", (*speaker).abort, 2 * time.Second, "expired"},
	}
}

// Not parallel: nothing else shall delay what is measured here.
func TestSessionsEndInTimeAndNeverEarly(t *testing.T) {
	p := startPeer(t)
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			path := here(t)
			w := call(t, p, client.Options{}).watch(path)
			s := speak(t, p, e.query)
			before := time.Now()
			item := s.ask(fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":{}}`, path)).Version
			after := time.Now()
			w.arrival(item)
			if e.leave != nil {
				before = time.Now()
				e.leave(s)
				after = time.Now()
			}
			gone, reason := w.removal(item)
			if reason != e.reason {
				t.Errorf("reason %q, want %q", reason, e.reason)
			}
			if early := gone.Sub(before); early < e.after {
				t.Errorf("gone %v after the client, %v is the least", early, e.after)
			}
			if late(after, gone, e.after) {
				t.Errorf("gone %v after the client, %v and one commit is the most", gone.Sub(after), e.after)
			}
		})
	}
}

func TestGraceHoldsWhenAnotherConnectionIsInDoubt(t *testing.T) {
	p, path := startPeer(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	lost := call(t, p, client.Options{Grace: 1200 * time.Millisecond})
	item := lost.push(path, number(1))
	closed := call(t, p, client.Options{Cookie: lost.Cookie(), Grace: 100 * time.Millisecond})
	before := time.Now()
	lost.reset()
	eventually(t, "the loss to be noticed", func() bool { return admin(t, p, "vera_connections") == 2 })
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	gone, reason := w.removal(item.Version)
	if early := gone.Sub(before); early < 1200*time.Millisecond || reason != "expired" {
		t.Errorf("gone after %v, %s: a connection was still within its grace", early, reason)
	}
	if late(after, gone, 1200*time.Millisecond) {
		t.Errorf("gone %v after the last one closed", gone.Sub(after))
	}
}

func TestTheLargestGraceOfSeveralConnectionsCounts(t *testing.T) {
	p, path := startPeer(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	long := call(t, p, client.Options{Grace: 1500 * time.Millisecond})
	item := long.push(path, number(1))
	short := call(t, p, client.Options{Cookie: long.Cookie(), Grace: client.NoGrace})
	before := time.Now()
	long.reset()
	short.reset()
	after := time.Now()
	gone, _ := w.removal(item.Version)
	if gone.Sub(before) < 1500*time.Millisecond || late(after, gone, 1500*time.Millisecond) {
		t.Errorf("gone after %v, the largest grace is 1.5 s", gone.Sub(before))
	}
}

func TestAnyByteCountsAsLife(t *testing.T) {
	p, path := startPeer(t), here(t)
	w := call(t, p, client.Options{}).watch(path)
	s := speak(t, p, "?graceMs=0&heartbeatMs=300")
	item := s.ask(fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":{}}`, path)).Version
	// Time must pass: seven times what silence would be given. No ping is answered.
	beat := time.NewTicker(250 * time.Millisecond)
	defer beat.Stop()
	var last time.Time
	for n := range 17 {
		<-beat.C
		last = time.Now()
		switch n % 3 {
		case 0:
			s.frame(10, nil) // a pong that nobody asked for
		case 1:
			s.frame(9, []byte("x"))
		default:
			if _, err := s.Conn.Write([]byte{0x8a}); err != nil { // a frame in single bytes: the rest comes with the next
				t.Fatal(err)
			}
			<-beat.C
			if _, err := s.Conn.Write([]byte{0x80, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone, _ := w.removal(item)
	if lived := gone.Sub(last); lived < 600*time.Millisecond || late(last, gone, 600*time.Millisecond) {
		t.Errorf("lost %v after the last byte, two heartbeats are 600 ms", lived)
	}
}

func TestAStalledPeerBlamesNobody(t *testing.T) {
	p, path := startPeer(t), here(t)
	var alive []*caller
	for n := range 20 {
		c := call(t, p, client.Options{Grace: client.NoGrace, Heartbeat: 250 * time.Millisecond})
		c.push(path, number(n))
		alive = append(alive, c)
	}
	away := call(t, p, client.Options{Grace: time.Second})
	away.push(path, number(99))
	away.reset()
	eventually(t, "the loss to be noticed", func() bool { return admin(t, p, "vera_connections") == 20 })

	p.signal(t, syscall.SIGSTOP)
	<-time.After(2500 * time.Millisecond) // the stall: five times what silence is given, more than twice the grace
	p.signal(t, syscall.SIGCONT)

	back := call(t, p, client.Options{Cookie: away.Cookie()})
	if s := back.session(); !s.Resumed || len(s.Items) != 1 {
		t.Errorf("the stall was counted against a session in its grace: %s", text(s))
	}
	<-time.After(time.Second) // twice what silence is given: who would be lost is lost by now
	for n, c := range alive {
		if s, err := c.Session(within(t, patience)); err != nil || len(s.Items) != 1 {
			t.Errorf("the stall was counted against client %d: %v", n, err)
		}
	}
}
