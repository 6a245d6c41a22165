package raft

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// streamRaft is the kind of the streams on which hashicorp/raft speaks.
const streamRaft = "raft"

const (
	sendWithin   = time.Second      // a heartbeat, a vote, a dial: from question to answer
	appendWithin = 5 * time.Second  // entries, which must be written to the other's disk
	chunkWithin  = 10 * time.Second // a part of a snapshot
	chunkBytes   = 256 << 10
	loadWithin   = 5 * time.Minute // from a snapshot's end until the other has loaded it
	linesKept    = 3               // idle streams to a peer: entries, heartbeats, votes
	silentAfter  = time.Second     // of a write to the log that does not end
)

var (
	errClosed = errors.New("this peer stops")
	errSilent = errors.New("nothing is sent while a write to the log hangs")
)

// transport carries hashicorp/raft's questions over the network's streams, one
// question a stream at a time. It does without what is wrong in hashicorp/raft's
// own: heartbeats take no way beside its main loop, which is the only one that
// may change the term, and there is no pipeline, which could stop for good.
//
// A leader whose disk hangs would go on sending heartbeats and keep the others
// from choosing another. So nothing is sent while a write to the log has been
// running for over silentAfter.
type transport struct {
	self     hraft.ServerAddress
	network  network
	busy     func() time.Duration // for how long a write to the log has been running
	consumer chan hraft.RPC
	closed   chan struct{}
	closing  sync.Once
	nudges   *nudges

	mu   sync.Mutex
	idle map[hraft.ServerAddress][]*line
}

var (
	_ hraft.Transport   = (*transport)(nil)
	_ hraft.WithPreVote = (*transport)(nil)
	_ hraft.WithClose   = (*transport)(nil)
)

func newTransport(self hraft.ServerAddress, n network, busy func() time.Duration) *transport {
	t := &transport{
		self: self, network: n, busy: busy,
		consumer: make(chan hraft.RPC), closed: make(chan struct{}),
		idle: map[hraft.ServerAddress][]*line{},
	}
	t.nudges = newNudges(t)
	return t
}

// line is a stream to another peer, used by one question at a time.
type line struct {
	net.Conn
	from    *bufio.Reader
	encoder encoder
	decoder decoder
	used    bool // it has carried an answer: when it fails now, a new one may do
}

// take returns an idle line to a peer, or a new one.
func (t *transport) take(to hraft.ServerAddress) (*line, error) {
	t.mu.Lock()
	if all := t.idle[to]; len(all) > 0 {
		l := all[len(all)-1]
		t.idle[to] = all[:len(all)-1]
		t.mu.Unlock()
		return l, nil
	}
	t.mu.Unlock()
	return t.dial(to)
}

// give puts a line back. After Close it is closed.
func (t *transport) give(to hraft.ServerAddress, l *line) {
	l.used = true
	t.mu.Lock()
	keep := !t.isClosed() && len(t.idle[to]) < linesKept
	if keep {
		t.idle[to] = append(t.idle[to], l)
	}
	t.mu.Unlock()
	if !keep {
		l.Close()
	}
}

// drop closes the idle lines to a peer, of which one was found broken.
func (t *transport) drop(to hraft.ServerAddress) {
	t.mu.Lock()
	all := t.idle[to]
	delete(t.idle, to)
	t.mu.Unlock()
	for _, l := range all {
		l.Close()
	}
}

func (t *transport) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

// mayNot says why nothing is sent now.
func (t *transport) mayNot() error {
	switch {
	case t.isClosed():
		return errClosed
	case t.busy() > silentAfter:
		return errSilent
	}
	return nil
}

// ask asks a question and takes the answer. It asks again on a new line when
// an old one turns out to be broken: all questions may be asked twice.
func (t *transport) ask(to hraft.ServerAddress, within time.Duration, question func(*encoder), answer any) error {
	for {
		if err := t.mayNot(); err != nil {
			return err
		}
		l, err := t.take(to)
		if err != nil {
			return err
		}
		err = l.ask(within, question, answer)
		if _, told := errors.AsType[*refusal](err); err == nil || told {
			t.give(to, l)
			return err
		}
		l.Close()
		if timeout, is := errors.AsType[net.Error](err); !l.used || is && timeout.Timeout() {
			return err
		}
		t.drop(to)
	}
}

func (l *line) ask(within time.Duration, question func(*encoder), answer any) error {
	if err := l.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	question(&l.encoder)
	if err := l.encoder.send(l.Conn); err != nil {
		return err
	}
	return l.answered(answer)
}

func (l *line) answered(answer any) error {
	what, err := l.decoder.receive(l.from)
	if err != nil {
		return err
	}
	return l.decoder.answered(what, answer)
}

// Consumer returns what other peers ask.
func (t *transport) Consumer() <-chan hraft.RPC { return t.consumer }

// LocalAddr returns this peer's address.
func (t *transport) LocalAddr() hraft.ServerAddress { return t.self }

// AppendEntriesPipeline says that there is none.
func (t *transport) AppendEntriesPipeline(hraft.ServerID, hraft.ServerAddress) (hraft.AppendPipeline, error) {
	return nil, hraft.ErrPipelineReplicationNotSupported
}

// AppendEntries asks a peer to append entries. Of more than appendBytes only
// the first are sent, and args says so: hashicorp/raft sends the others next.
func (t *transport) AppendEntries(_ hraft.ServerID, to hraft.ServerAddress, args *hraft.AppendEntriesRequest, answer *hraft.AppendEntriesResponse) error {
	say := func(e *encoder) {
		e.begin(sayAppend)
		e.append(args)
	}
	if args.PrevLogEntry == 0 && len(args.Entries) == 0 {
		return t.ask(to, sendWithin, say, answer) // a heartbeat
	}
	args.Entries = fitting(args.Entries)
	f := t.nudges.of(to)
	f.sending(args)
	err := t.ask(to, appendWithin, say, answer)
	if err == nil && answer.Success {
		f.has(args)
		f.poke() // it may have come after the commit
	}
	return err
}

// fitting returns as many of the first entries as an append may have, one at
// least.
func fitting(entries []*hraft.Log) []*hraft.Log {
	size := 0
	for i, l := range entries {
		if size += len(l.Data) + len(l.Extensions); size > appendBytes && i > 0 {
			return entries[:i]
		}
	}
	return entries
}

// RequestVote asks a peer for its vote.
func (t *transport) RequestVote(_ hraft.ServerID, to hraft.ServerAddress, args *hraft.RequestVoteRequest, answer *hraft.RequestVoteResponse) error {
	return t.ask(to, sendWithin, func(w *encoder) {
		w.begin(sayVote)
		w.vote(args)
	}, answer)
}

// RequestPreVote asks a peer whether it would vote.
func (t *transport) RequestPreVote(_ hraft.ServerID, to hraft.ServerAddress, args *hraft.RequestPreVoteRequest, answer *hraft.RequestPreVoteResponse) error {
	return t.ask(to, sendWithin, func(w *encoder) {
		w.begin(sayPreVote)
		w.preVote(args)
	}, answer)
}

// TimeoutNow asks a peer to stand for election at once.
func (t *transport) TimeoutNow(_ hraft.ServerID, to hraft.ServerAddress, args *hraft.TimeoutNowRequest, answer *hraft.TimeoutNowResponse) error {
	return t.ask(to, sendWithin, func(w *encoder) {
		w.begin(sayTimeoutNow)
		w.header(args.RPCHeader)
	}, answer)
}

// InstallSnapshot sends a snapshot, which may take as long as its bytes go on
// arriving.
func (t *transport) InstallSnapshot(_ hraft.ServerID, to hraft.ServerAddress, args *hraft.InstallSnapshotRequest, answer *hraft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.mayNot(); err != nil {
		return err
	}
	l, err := t.take(to)
	if err != nil {
		return err
	}
	defer l.Close()
	l.encoder.begin(saySnapshot)
	l.encoder.snapshot(args)
	_ = l.SetDeadline(time.Now().Add(chunkWithin))
	err = l.encoder.send(l.Conn)
	for sent := int64(0); err == nil && sent < args.Size; {
		_ = l.SetDeadline(time.Now().Add(chunkWithin))
		var n int64
		n, err = io.CopyN(l.Conn, data, min(chunkBytes, args.Size-sent))
		sent += n
	}
	if err != nil {
		return err
	}
	_ = l.SetDeadline(time.Now().Add(loadWithin))
	return l.answered(answer)
}

// EncodePeer returns an address as its bytes.
func (t *transport) EncodePeer(_ hraft.ServerID, a hraft.ServerAddress) []byte { return []byte(a) }

// DecodePeer is the reverse.
func (t *transport) DecodePeer(b []byte) hraft.ServerAddress { return hraft.ServerAddress(b) }

// SetHeartbeatHandler does nothing: a heartbeat that is handled beside the main
// loop may change the term while a deposed leader still writes entries, which
// then have the new leader's term.
func (t *transport) SetHeartbeatHandler(func(hraft.RPC)) {}

// Close ends all that is asked and answered here.
func (t *transport) Close() error {
	t.closing.Do(func() {
		t.mu.Lock()
		close(t.closed)
		idle := t.idle
		t.idle = nil
		t.mu.Unlock()
		for _, all := range idle {
			for _, l := range all {
				l.Close()
			}
		}
		t.nudges.running.Wait()
	})
	return nil
}

// serve answers what a peer asks on a stream, until one side closes it.
func (t *transport) serve(c net.Conn) {
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
