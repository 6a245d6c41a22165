package socket

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"vera"
)

// endless is a connection that always has a message, and counts what is taken.
type endless struct {
	echo
	message []byte
	pulled  chan int
}

func (e *endless) Pull(batch [][]byte, most int) [][]byte {
	for size := 0; size+len(e.message) <= most; size += len(e.message) {
		batch = append(batch, e.message)
	}
	e.pulled <- len(batch)
	return batch
}

// TestAClientThatNeverReadsTakesLittle pulls as much as the kernel takes and a
// bounded rest, and then nothing more.
func TestAClientThatNeverReadsTakesLittle(t *testing.T) {
	g := newGroup(t, Goroutines(), limitsFor())
	b := backends()[0]
	theirs, ours := b.pipe(t)
	e := &endless{message: []byte(strings.Repeat("n", 1000)), pulled: make(chan int, 1_000_000)}
	e.socket, e.ended = g.Socket(minute), make(chan vera.Ending, 1)
	go e.socket.Start(e, ours, nil, nil, nothing)
	total, quiet := 0, time.NewTimer(waitFor)
	for waiting := true; waiting; {
		select {
		case n := <-e.pulled:
			total += n * len(e.message)
			quiet.Reset(300 * time.Millisecond)
		case <-quiet.C:
			waiting = false
		}
	}
	if total > 16<<20 {
		t.Errorf("%d bytes were pulled for a client that reads nothing", total)
	}
	// Nobody else is slower for it.
	c, other := start(t, b, g, minute)
	began := time.Now()
	for range 100 {
		c.send(100, text("hello"))
		c.nextText(t)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 echoes took %v", took)
	}
	_, _ = theirs.Close(), c.conn.Close()
	e.how(t)
	other.how(t)
	gone(t, g)
}

// held is the wire of a socket for which bytes wait.
type held struct {
	wire
	some bool
	cuts int
}

func (h *held) held() bool { return h.some }
func (h *held) cut()       { h.cuts++ }

func TestBytesThatWaitAreReadBeforeSilenceIsJudged(t *testing.T) {
	g := newGroup(t, Goroutines(), limitsFor())
	for _, some := range []bool{true, false} {
		e := newEcho(g, time.Second)
		w := &held{some: some}
		e.socket.connection, e.socket.wire, e.socket.gone = e, w, nothing
		now := g.clock.now()
		e.socket.life.Store(int64(now - 3*time.Second))
		e.socket.pinged = now - 2*time.Second
		next := e.socket.judge(now)
		if lost := w.cuts > 0; lost == some || some && next > now+time.Second {
			t.Errorf("with bytes that wait %v: lost %v, looked at again after %v", some, lost, next-now)
		}
	}
}

// TestAPingThatWasLateGivesTimeToAnswer has the clock come late, though not so
// late that the process stood still.
func TestAPingThatWasLateGivesTimeToAnswer(t *testing.T) {
	g := newGroup(t, Goroutines(), limitsFor())
	e := newEcho(g, 250*time.Millisecond)
	w := &held{}
	e.socket.connection, e.socket.wire, e.socket.gone = e, w, nothing
	now := g.clock.now()
	e.socket.life.Store(int64(now - 600*time.Millisecond))
	if next := e.socket.judge(now); w.cuts > 0 || next != now+250*time.Millisecond*7/8 || !e.socket.ping {
		t.Errorf("pinged %v, lost %v, looked at again after %v", e.socket.ping, w.cuts > 0, next-now)
	}
	if e.socket.judge(now + 250*time.Millisecond*7/8); w.cuts != 1 {
		t.Error("never lost")
	}
}

func TestWaitsSeesWhatTheKernelHolds(t *testing.T) {
	theirs, ours := loopback(t)
	if waits(ours) {
		t.Error("bytes wait before any was sent")
	}
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(waitFor); !waits(ours); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a byte that was sent does not wait")
		}
	}
	_, _ = theirs.Close(), ours.Close()
}
