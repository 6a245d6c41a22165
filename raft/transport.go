package raft

import (
	"bufio"
	"errors"
	"io"
	"math"
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
	awaitEvery   = 100 * time.Millisecond
	silentAfter  = time.Second // of a write to the log that does not end
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
	durable  func() uint64        // up to where the log is written
	consumer chan hraft.RPC
	closed   chan struct{}
	closing  sync.Once
	nudges   *nudges
	taken    func(net.Conn) // tests take the streams instead

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
		durable:  func() uint64 { return math.MaxUint64 },
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

func newLine(c net.Conn) *line { return &line{Conn: c, from: bufio.NewReader(c)} }

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
	f := t.nudges.of(to)
	if args.PrevLogEntry == 0 && len(args.Entries) == 0 { // a heartbeat
		err := t.ask(to, sendWithin, say, answer)
		if err == nil {
			poke(f.back)
		}
		return err
	}
	args.Entries = fitting(args.Entries)
	args.LeaderCommitIndex = min(args.LeaderCommitIndex, t.durable())
	f.sending(args)
	err := t.ask(to, appendWithin, say, answer)
	switch {
	case err != nil:
		t.await(to, f, args.Term)
	case answer.Success:
		f.has(args)
		poke(f.wake) // its answer may have come after the commit
	}
	return err
}

// await waits until a peer that could not be reached answers a heartbeat, for
// as long as this one leads the term and the peer is a follower. After each
// failure hashicorp/raft waits for longer, up to ten seconds, before it sends
// entries again; so there are no failures to count while a peer is away.
func (t *transport) await(to hraft.ServerAddress, f *follower, term uint64) {
	for drained := false; !drained; {
		select {
		case <-f.back:
		default:
			drained = true
		}
	}
	for t.nudges.leads(term) && t.nudges.follows(to) {
		select {
		case <-f.back:
			return
		case <-t.closed:
			return
		case <-time.After(awaitEvery):
		}
	}
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
