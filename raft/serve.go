package raft

import (
	"bufio"
	"io"
	"net"
	"time"

	hraft "github.com/hashicorp/raft"
)

// serve answers what a peer asks on a stream, until one side closes it.
func (t *transport) serve(c net.Conn) {
	if t.taken != nil {
		t.taken(c)
		return
	}
	defer c.Close()
	var (
		r       decoder
		w       encoder
		from    = bufio.NewReaderSize(c, readAhead)
		answers = make(chan hraft.RPCResponse, 1)
	)
	for {
		what, err := r.receive(from)
		if err != nil {
			return
		}
		command, err := r.question(what)
		if err != nil {
			return
		}
		rpc := hraft.RPC{Command: command, RespChan: answers}
		if s, is := command.(*hraft.InstallSnapshotRequest); is {
			rpc.Reader = &arriving{c, io.LimitReader(from, s.Size)}
		}
		if early := commitOf(command); early != nil {
			if _, ok := t.pass(hraft.RPC{Command: early, RespChan: answers}, answers); !ok {
				return
			}
		}
		answer, ok := t.pass(rpc, answers)
		if !ok {
			return
		}
		if what == sayNudge {
			continue
		}
		if rpc.Reader != nil {
			_ = c.SetDeadline(time.Time{})
		}
		if t.mayNot() != nil || w.answer(answer) != nil || w.send(c) != nil {
			return
		}
	}
}

// commitOf returns the part of an append that tells what is committed.
// hashicorp/raft looks at that only when the entries are on the disk: so it is
// told first, and what was committed is applied while these are written.
func commitOf(command any) *hraft.AppendEntriesRequest {
	a, is := command.(*hraft.AppendEntriesRequest)
	if !is || len(a.Entries) == 0 || a.PrevLogEntry == 0 || a.LeaderCommitIndex == 0 {
		return nil
	}
	first := *a
	first.Entries, first.LeaderCommitIndex = nil, min(a.LeaderCommitIndex, a.PrevLogEntry)
	return &first
}

// readAhead is how much of a stream is read at once, in bytes: as much as a
// batch of small commands.
const readAhead = 32 << 10

// pass gives a question to hashicorp/raft and returns its answer.
func (t *transport) pass(rpc hraft.RPC, answers <-chan hraft.RPCResponse) (answer hraft.RPCResponse, ok bool) {
	select {
	case t.consumer <- rpc:
	case <-t.closed:
		return answer, false
	}
	select {
	case answer = <-answers:
		return answer, true
	case <-t.closed:
		return answer, false
	}
}

// arriving reads a snapshot as long as its bytes go on arriving.
type arriving struct {
	c    net.Conn
	from io.Reader
}

func (a *arriving) Read(b []byte) (int, error) {
	_ = a.c.SetReadDeadline(time.Now().Add(chunkWithin))
	return a.from.Read(b)
}
