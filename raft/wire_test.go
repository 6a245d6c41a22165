package raft

import (
	"bufio"
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
)

// questions are one of each kind, as hashicorp/raft asks them.
func questions() map[byte]any {
	h := hraft.RPCHeader{ProtocolVersion: 3, ID: []byte("a-1"), Addr: []byte("https://a:1?key=x")}
	entries := []*hraft.Log{
		{Index: 7, Term: 2, Type: hraft.LogCommand, Data: []byte("push"), AppendedAt: time.Unix(1, 2)},
		{Index: 8, Term: 3, Type: hraft.LogConfiguration, Data: bytes.Repeat([]byte("c"), 70_000), Extensions: []byte("e"), AppendedAt: time.Unix(3, 4)},
		{Index: 9, Term: 3, Type: hraft.LogNoop},
	}
	return map[byte]any{
		sayAppend:     &hraft.AppendEntriesRequest{RPCHeader: h, Term: 3, Leader: h.Addr, PrevLogEntry: 6, PrevLogTerm: 2, Entries: entries, LeaderCommitIndex: 5},
		sayNudge:      &hraft.AppendEntriesRequest{RPCHeader: h, Term: 3, Leader: h.Addr, PrevLogEntry: 1 << 40, PrevLogTerm: 2, LeaderCommitIndex: 1 << 40},
		sayVote:       &hraft.RequestVoteRequest{RPCHeader: h, Term: 4, Candidate: h.Addr, LastLogIndex: 9, LastLogTerm: 3, LeadershipTransfer: true},
		sayPreVote:    &hraft.RequestPreVoteRequest{RPCHeader: h, Term: 4, LastLogIndex: 9, LastLogTerm: 3},
		sayTimeoutNow: &hraft.TimeoutNowRequest{RPCHeader: h},
		saySnapshot: &hraft.InstallSnapshotRequest{RPCHeader: h, SnapshotVersion: 1, Term: 4, Leader: h.Addr, LastLogIndex: 9, LastLogTerm: 3,
			Configuration: []byte("who"), ConfigurationIndex: 8, Size: 1 << 33},
	}
}

// say encodes a question.
func (e *encoder) say(what byte, q any) {
	e.begin(what)
	switch q := q.(type) {
	case *hraft.AppendEntriesRequest:
		e.append(q)
	case *hraft.RequestVoteRequest:
		e.vote(q)
	case *hraft.RequestPreVoteRequest:
		e.preVote(q)
	case *hraft.InstallSnapshotRequest:
		e.snapshot(q)
	case *hraft.TimeoutNowRequest:
		e.header(q.RPCHeader)
	}
}

// Every field arrives, on one stream, also when the header is said only once.
func TestQuestionsArriveWhole(t *testing.T) {
	var (
		e      encoder
		d      decoder
		stream bytes.Buffer
	)
	from := bufio.NewReader(&stream)
	for range 3 {
		for what, q := range questions() {
			e.say(what, q)
			if err := e.send(&stream); err != nil {
				t.Fatal(err)
			}
			heard, err := d.receive(from)
			if err != nil || heard != what {
				t.Fatalf("%d is heard as %d: %v", what, heard, err)
			}
			got, err := d.question(heard)
			if err != nil || !reflect.DeepEqual(got, q) {
				t.Fatalf("%d:\n%+v\nwas heard as\n%+v: %v", what, q, got, err)
			}
		}
	}
	answers := []any{
		&hraft.AppendEntriesResponse{Term: 1, LastLog: 2, Success: true, NoRetryBackoff: true}, &hraft.RequestVoteResponse{Term: 1, Granted: true},
		&hraft.RequestPreVoteResponse{Term: 1, Granted: true}, &hraft.InstallSnapshotResponse{Term: 1, Success: true}, &hraft.TimeoutNowResponse{},
	}
	for _, a := range answers {
		if err := e.answer(hraft.RPCResponse{Response: a}); err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(a).Elem()).Interface()
		d.bytes = slices.Clone(e.bytes[frameHead:])
		if err := d.answered(e.bytes[0], got); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v was heard as %+v: %v", a, got, err)
		}
	}
}

// An entry holds no other's memory: the machine keeps some for ever.
func TestEntriesAreMemoryOfTheirOwn(t *testing.T) {
	var e encoder
	e.say(sayAppend, questions()[sayAppend])
	frame := slices.Clone(e.bytes[frameHead:])
	d := decoder{bytes: frame}
	got, err := d.question(sayAppend)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	if l := got.(*hraft.AppendEntriesRequest).Entries[0]; string(l.Data) != "push" || cap(l.Data) > 8 {
		t.Errorf("%q, of %d bytes", l.Data, cap(l.Data))
	}
}

// FuzzQuestion: whatever a peer sends, nothing but an error comes of it, and no
// more memory than it sent a few times over.
func FuzzQuestion(f *testing.F) {
	for what, q := range questions() {
		var e encoder
		e.say(what, q)
		if len(e.bytes) < 1000 {
			f.Add(what, e.bytes[frameHead:])
		}
	}
	f.Add(sayAppend, []byte{3, 1, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, what byte, frame []byte) {
		d := decoder{bytes: slices.Clone(frame)}
		q, err := d.question(what)
		if err != nil {
			return
		}
		if a, is := q.(*hraft.AppendEntriesRequest); is && len(a.Entries) > len(frame) {
			t.Errorf("%d entries out of %d bytes", len(a.Entries), len(frame))
		}
		var e encoder
		e.say(what, q)
		d = decoder{bytes: slices.Clone(e.bytes[frameHead:])}
		if again, err := d.question(what); err != nil || !reflect.DeepEqual(again, q) {
			t.Errorf("%+v is said again as %+v: %v", q, again, err)
		}
	})
}
