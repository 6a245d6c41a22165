package raft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	hraft "github.com/hashicorp/raft"
)

// What peers say to each other on a stream of the kind "raft": frames of a
// byte that says what follows, its length in 4 bytes, and fields that are
// varints, or bytes behind their length. The side that opened the stream asks,
// the other answers each question but a nudge with an answer or a failure.
// hashicorp/raft's own transport says it in msgpack, which took a third of the
// processor.
const (
	sayAppend byte = iota + 1
	sayNudge       // an append without entries that wants no answer
	sayVote
	sayPreVote
	sayTimeoutNow
	saySnapshot // what it tells is followed by the snapshot
	sayAnswer
	sayFailure // in words
)

const (
	frameHead   = 5
	frameBytes  = 16 << 20 // that a peer accepts
	appendBytes = 4 << 20  // of the entries in an append, unless one alone is larger
	keptBytes   = 1 << 20  // of a buffer that is used again
)

var errFrame = errors.New("a frame is malformed")

// encoder builds a frame.
type encoder struct {
	bytes []byte
	ids   [2][]byte // of the header that was sent last on this stream
}

func (e *encoder) begin(what byte) {
	if cap(e.bytes) > keptBytes {
		e.bytes = nil
	}
	e.bytes = append(e.bytes[:0], what, 0, 0, 0, 0)
}

// send writes the frame in one piece.
func (e *encoder) send(to io.Writer) error {
	n := len(e.bytes) - frameHead
	if n > frameBytes {
		return fmt.Errorf("a frame has %d bytes, at most %d", n, frameBytes)
	}
	binary.LittleEndian.PutUint32(e.bytes[1:], uint32(n))
	_, err := to.Write(e.bytes)
	return err
}

func (e *encoder) number(n uint64) { e.bytes = binary.AppendUvarint(e.bytes, n) }

func (e *encoder) flag(yes bool) {
	if yes {
		e.number(1)
	} else {
		e.number(0)
	}
}

func (e *encoder) data(b []byte) {
	e.number(uint64(len(b)))
	e.bytes = append(e.bytes, b...)
}

// header says who speaks. It is said once a stream as long as it stays the same.
func (e *encoder) header(h hraft.RPCHeader) {
	e.number(uint64(h.ProtocolVersion))
	same := e.ids[0] != nil && string(e.ids[0]) == string(h.ID) && string(e.ids[1]) == string(h.Addr)
	e.flag(same)
	if !same {
		e.data(h.ID)
		e.data(h.Addr)
		e.ids = [2][]byte{append([]byte{}, h.ID...), append([]byte{}, h.Addr...)}
	}
}

func (e *encoder) entries(all []*hraft.Log) {
	e.number(uint64(len(all)))
	if len(all) == 0 {
		return
	}
	e.number(all[0].Index)
	for _, l := range all {
		e.number(l.Term)
		e.bytes = append(e.bytes, byte(l.Type))
		e.data(l.Data)
		e.data(l.Extensions)
		at := int64(0)
		if !l.AppendedAt.IsZero() {
			at = l.AppendedAt.UnixNano()
		}
		e.bytes = binary.LittleEndian.AppendUint64(e.bytes, uint64(at))
	}
}

func (e *encoder) append(a *hraft.AppendEntriesRequest) {
	e.header(a.RPCHeader)
	e.number(a.Term)
	e.number(a.PrevLogEntry)
	e.number(a.PrevLogTerm)
	e.number(a.LeaderCommitIndex)
	e.entries(a.Entries)
}

func (e *encoder) vote(v *hraft.RequestVoteRequest) {
	e.header(v.RPCHeader)
	e.number(v.Term)
	e.number(v.LastLogIndex)
	e.number(v.LastLogTerm)
	e.flag(v.LeadershipTransfer)
}

func (e *encoder) preVote(v *hraft.RequestPreVoteRequest) {
	e.header(v.RPCHeader)
	e.number(v.Term)
	e.number(v.LastLogIndex)
	e.number(v.LastLogTerm)
}

func (e *encoder) snapshot(s *hraft.InstallSnapshotRequest) {
	e.header(s.RPCHeader)
	e.number(uint64(s.SnapshotVersion))
	e.number(s.Term)
	e.number(s.LastLogIndex)
	e.number(s.LastLogTerm)
	e.data(s.Configuration)
	e.number(s.ConfigurationIndex)
	e.number(uint64(s.Size))
}

// answer says what hashicorp/raft answered, by the kind of its answer.
func (e *encoder) answer(r hraft.RPCResponse) error {
	if r.Error != nil {
		e.begin(sayFailure)
		e.data([]byte(r.Error.Error()))
		return nil
	}
	e.begin(sayAnswer)
	switch a := r.Response.(type) {
	case *hraft.AppendEntriesResponse:
		e.number(a.Term)
		e.number(a.LastLog)
		e.flag(a.Success)
		e.flag(a.NoRetryBackoff)
	case *hraft.RequestVoteResponse:
		e.number(a.Term)
		e.flag(a.Granted)
	case *hraft.RequestPreVoteResponse:
		e.number(a.Term)
		e.flag(a.Granted)
	case *hraft.InstallSnapshotResponse:
		e.number(a.Term)
		e.flag(a.Success)
	case *hraft.TimeoutNowResponse:
	default:
		return fmt.Errorf("hashicorp/raft answered with %T", a)
	}
	return nil
}

// decoder takes a frame apart. After its first mistake all it gives is zero.
type decoder struct {
	bytes  []byte // that are left of the frame
	wrong  bool
	ids    [2][]byte
	buffer []byte
}

// receive reads a frame and returns what it is.
func (d *decoder) receive(from *bufio.Reader) (byte, error) {
	head, err := from.Peek(frameHead)
	if err != nil {
		return 0, err
	}
	what := head[0]
	n := int(binary.LittleEndian.Uint32(head[1:]))
	if n > frameBytes {
		return 0, fmt.Errorf("a frame has %d bytes, at most %d", n, frameBytes)
	}
	if cap(d.buffer) < n || cap(d.buffer) > keptBytes {
		d.buffer = make([]byte, n)
	}
	d.bytes, d.wrong = d.buffer[:n], false
	if _, err := from.Discard(frameHead); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(from, d.bytes)
	return what, err
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.bytes)
	if size <= 0 {
		d.wrong, d.bytes = true, nil
		return 0
	}
	d.bytes = d.bytes[size:]
	return n
}

func (d *decoder) flag() bool { return d.number() != 0 }

// some returns bytes that are only good until the next frame.
func (d *decoder) some() []byte {
	n := d.number()
	if n > uint64(len(d.bytes)) {
		d.wrong, d.bytes = true, nil
		return nil
	}
	b := d.bytes[:n:n]
	d.bytes = d.bytes[n:]
	return b
}

// data returns bytes of their own, nil for none.
func (d *decoder) data() []byte { return append([]byte(nil), d.some()...) }

func (d *decoder) header() hraft.RPCHeader {
	h := hraft.RPCHeader{ProtocolVersion: hraft.ProtocolVersion(d.number())}
	if !d.flag() {
		d.ids = [2][]byte{d.data(), d.data()}
	}
	h.ID, h.Addr = d.ids[0], d.ids[1]
	return h
}

// entries returns entries that keep only their own bytes alive: the machine
// holds on to some of them.
func (d *decoder) entries() []*hraft.Log {
	n := d.number()
	if n == 0 || n > uint64(len(d.bytes))/12 { // of the smallest entry
		d.wrong = d.wrong || n > 0
		return nil
	}
	logs, all := make([]hraft.Log, n), make([]*hraft.Log, n)
	first := d.number()
	for i := range logs {
		l := &logs[i]
		l.Index, l.Term = first+uint64(i), d.number()
		if len(d.bytes) > 0 {
			l.Type, d.bytes = hraft.LogType(d.bytes[0]), d.bytes[1:]
		}
		l.Data, l.Extensions = d.data(), d.data()
		if len(d.bytes) < 8 {
			d.wrong, d.bytes = true, nil
			return nil
		}
		if at := int64(binary.LittleEndian.Uint64(d.bytes)); at != 0 {
			l.AppendedAt = time.Unix(0, at)
		}
		d.bytes = d.bytes[8:]
		all[i] = l
	}
	return all
}

// question takes what a peer asks for.
func (d *decoder) question(what byte) (command any, err error) {
	switch what {
	case sayAppend, sayNudge:
		a := &hraft.AppendEntriesRequest{RPCHeader: d.header(), Term: d.number(), PrevLogEntry: d.number(), PrevLogTerm: d.number(), LeaderCommitIndex: d.number(), Entries: d.entries()}
		a.Leader, command = a.Addr, a
	case sayVote:
		v := &hraft.RequestVoteRequest{RPCHeader: d.header(), Term: d.number(), LastLogIndex: d.number(), LastLogTerm: d.number(), LeadershipTransfer: d.flag()}
		v.Candidate, command = v.Addr, v
	case sayPreVote:
		command = &hraft.RequestPreVoteRequest{RPCHeader: d.header(), Term: d.number(), LastLogIndex: d.number(), LastLogTerm: d.number()}
	case sayTimeoutNow:
		command = &hraft.TimeoutNowRequest{RPCHeader: d.header()}
	case saySnapshot:
		s := &hraft.InstallSnapshotRequest{
			RPCHeader: d.header(), SnapshotVersion: hraft.SnapshotVersion(d.number()), Term: d.number(),
			LastLogIndex: d.number(), LastLogTerm: d.number(), Configuration: d.data(), ConfigurationIndex: d.number(), Size: int64(d.number()),
		}
		s.Leader, command = s.Addr, s
	default:
		return nil, fmt.Errorf("%w: it begins with %d", errFrame, what)
	}
	if d.wrong || len(d.bytes) > 0 {
		return nil, errFrame
	}
	return command, nil
}

// answered takes an answer into what hashicorp/raft gave for it.
func (d *decoder) answered(what byte, into any) error {
	if what == sayFailure {
		return &refusal{string(d.some())}
	}
	if what != sayAnswer {
		return fmt.Errorf("%w: %d is no answer", errFrame, what)
	}
	switch a := into.(type) {
	case *hraft.AppendEntriesResponse:
		*a = hraft.AppendEntriesResponse{Term: d.number(), LastLog: d.number(), Success: d.flag(), NoRetryBackoff: d.flag()}
	case *hraft.RequestVoteResponse:
		*a = hraft.RequestVoteResponse{Term: d.number(), Granted: d.flag()}
	case *hraft.RequestPreVoteResponse:
		*a = hraft.RequestPreVoteResponse{Term: d.number(), Granted: d.flag()}
	case *hraft.InstallSnapshotResponse:
		*a = hraft.InstallSnapshotResponse{Term: d.number(), Success: d.flag()}
	}
	if d.wrong || len(d.bytes) > 0 {
		return errFrame
	}
	return nil
}
