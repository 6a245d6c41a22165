package raft

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"

	"vera/test/bubble"
)

// relay is two peers of which one hands over to the other.
type relay struct {
	*handOver
	leads atomic.Bool
	got   chan []byte
	lost  atomic.Int64
	end   func()
}

func newRelay() *relay {
	m := NewMemory()
	r := &relay{got: make(chan []byte, 10_000)}
	r.leads.Store(true)
	there := &handOver{leading: r.leads.Load}
	there.rounds = newRounds(r.leads.Load, func(entry []byte) {
		r.got <- entry
		there.rounds.committed([]*hraft.Log{{Data: entry}})
	})
	stop := make(chan struct{})
	go there.rounds.run(stop)
	listener, dialer := m.network("b", keyOf(memoryKey("b")), nil), m.network("a", "a", nil)
	listener.serve(handlers{trusted: func(string) bool { return true }, stream: func(_, _ string, c net.Conn) { there.serve(c) }})
	dialer.serve(handlers{trusted: func(string) bool { return true }})
	r.handOver = &handOver{
		network: dialer, leading: func() bool { return false },
		leader: func() hraft.ServerAddress { return hraft.ServerAddress(m.card("b", 1).String()) },
		lost:   func() { r.lost.Add(1) },
	}
	r.end = func() {
		close(stop)
		dialer.close()
		listener.close()
	}
	return r
}

func TestHandedOverArrivesInOrder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRelay()
		defer r.end()
		n := 0
		for batch := range 40 {
			var entries [][]byte
			for range batch {
				entries = append(entries, bytes.Repeat(fmt.Append(nil, n, " "), 1+n%7*20_000))
				n++
			}
			if err := r.enter(entries); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // what waits for a round is bounded
		}
		for i := range n {
			if entry := <-r.got; !bytes.HasPrefix(entry, fmt.Append(nil, i, " ")) || cap(entry) > len(entry)+len(entry)/4+16 {
				t.Fatalf("entry %d is %.10q, with room for %d", i, entry, cap(entry)-len(entry))
			}
		}
	})
}

// Who waits for a leader that cannot be reached goes to the next one as soon as
// it hears of it.
func TestHandOverToTheLeaderBeforeIsGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRelay()
		defer r.end()
		m, to := r.network.(*memoryNetwork).memory, "c"
		m.Partition("a", "c")
		r.leader = func() hraft.ServerAddress { return hraft.ServerAddress(m.card(to, 1).String()) }
		entered := make(chan error, 1)
		began := time.Now()
		go func() { entered <- r.enter([][]byte{[]byte("one")}) }()
		synctest.Wait()
		r.moved()
		synctest.Wait()
		if len(entered) > 0 {
			t.Fatal("given up though the leader is the same")
		}
		to = "b"
		r.moved()
		if err := <-entered; err == nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := r.enter([][]byte{[]byte("one")}); err != nil {
			t.Fatal(err)
		}
		<-r.got
		stream := r.stream
		to = "c"
		r.moved()
		if _, err := stream.Write([]byte{1}); err == nil || r.lost.Load() > 0 {
			t.Errorf("the stream to the leader before is open; lost %d times", r.lost.Load())
		}
	})
}

// Who ceases to lead closes the stream, and the one that handed over is told.
func TestDeposedLeaderSendsEntriesBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRelay()
		defer r.end()
		one := [][]byte{[]byte("one")}
		if err := r.enter(one); err != nil {
			t.Fatal(err)
		}
		<-r.got
		r.leads.Store(false)
		if err := r.enter(one); err != nil { // nobody can know yet
			t.Fatal(err)
		}
		synctest.Wait()
		if r.lost.Load() != 1 || len(r.got) != 0 {
			t.Errorf("told %d times; %d entries taken", r.lost.Load(), len(r.got))
		}
		r.leads.Store(true)
		if err := r.enter(one); err != nil {
			t.Fatal(err)
		}
		if got := <-r.got; string(got) != "one" {
			t.Errorf("%q", got)
		}
	})
}

// A leader that takes nothing holds nobody up for long.
func TestHandOverToADeafLeaderFailsInTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRelay()
		defer r.end()
		began := time.Now()
		var err error
		for err == nil && time.Since(began) < time.Minute {
			err = r.enter([][]byte{make([]byte, 1<<20)})
			if len(r.got) > 100 {
				t.Fatal("the leader is not deaf")
			}
			r.network.(*memoryNetwork).memory.PartitionOneWay("a", "b")
		}
		if took := time.Since(began); err == nil || took > 2*handOverWithin {
			t.Errorf("after %v: %v", took, err)
		}
		began = time.Now()
		if err := r.enter([][]byte{{1}}); err == nil || time.Since(began) > 2*handOverWithin {
			t.Errorf("a new stream: %v after %v", err, time.Since(began))
		}
	})
}

// What is no frame closes the stream.
func TestHandOverRefusesNonsense(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRelay()
		defer r.end()
		at, _ := targetOf(r.leader())
		for name, frame := range map[string][]byte{
			"too long":                  binary.LittleEndian.AppendUint32(nil, handOverBytes+1),
			"an entry longer than it":   {2, 0, 0, 0, 9, 1},
			"an entry without an end":   {2, 0, 0, 0, 0xff, 0xff},
			"an entry of 2^63 and more": {10, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		} {
			c, err := r.network.dial(context.Background(), at, streamHandOver)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write(frame)
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.Read(make([]byte, 1)); err == nil || len(r.got) > 0 {
				t.Errorf("%s: %v, %d entries", name, err, len(r.got))
			} else if timeout, is := err.(net.Error); is && timeout.Timeout() {
				t.Errorf("%s: the stream stays open", name)
			}
			c.Close()
		}
	})
}
