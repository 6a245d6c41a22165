package raft

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// streamHandOver is the kind of the streams on which entries are handed over.
const streamHandOver = "hand-over"

const (
	handOverBytes  = 8 << 20 // of a frame
	handOverWithin = time.Second
)

var errNoLeader = errors.New("no leader is known")

// handOver gives this peer's entries to whoever leads: to the rounds here, or
// over one stream, which stays open, to the leader's. Who is alone gives them to
// hashicorp/raft at once. On the stream each batch is a frame: its length in 4
// bytes, then each entry behind its length. Nothing comes back: what became of an
// entry is learnt from the log. A leader that ceases to lead closes the stream.
//
// Two goroutines may call it: the proposer's calls enter, each stream's own
// calls serve.
type handOver struct {
	network network
	leading func() bool
	leader  func() hraft.ServerAddress
	apply   func(entry []byte) // has hashicorp/raft append an entry; it may wait
	rounds  *rounds            // of a leader
	lost    func()             // what was handed over on a stream may not have arrived

	mu     sync.Mutex
	stream net.Conn // to whom entries went last; nil: there is none
	to     hraft.ServerAddress
	called hraft.ServerAddress // whom enter opens a stream to; "": nobody
	hangUp context.CancelFunc  // ends that
	frame  []byte              // enter's own
}

// enter hands over entries, in order. An error says that some may not have got
// there. It returns within two seconds.
func (h *handOver) enter(entries [][]byte) error {
	switch {
	case h.network == nil:
		for _, entry := range entries {
			h.apply(entry)
		}
		return nil
	case h.leading():
		return h.rounds.add(nil, entries)
	}
	to := h.leader()
	if to == "" {
		return errNoLeader
	}
	stream, err := h.open(to)
	if err != nil {
		return err
	}
	for len(entries) > 0 {
		entries = h.pack(entries)
		_ = stream.SetWriteDeadline(time.Now().Add(handOverWithin))
		if _, err := stream.Write(h.frame); err != nil {
			h.shut(stream)
			return err
		}
	}
	return nil
}

// pack makes a frame of as many entries as it may hold, and returns the others.
func (h *handOver) pack(entries [][]byte) [][]byte {
	if cap(h.frame) > keptBytes {
		h.frame = nil
	}
	h.frame = append(h.frame[:0], 0, 0, 0, 0)
	n := 0
	for n < len(entries) && (n == 0 || len(h.frame)+len(entries[n])+binary.MaxVarintLen32 < handOverBytes) {
		h.frame = binary.AppendUvarint(h.frame, uint64(len(entries[n])))
		h.frame = append(h.frame, entries[n]...)
		n++
	}
	binary.LittleEndian.PutUint32(h.frame, uint32(len(h.frame)-4))
	return entries[n:]
}

// open returns the stream to a leader.
func (h *handOver) open(to hraft.ServerAddress) (net.Conn, error) {
	h.mu.Lock()
	stream, was := h.stream, h.to
	h.mu.Unlock()
	if stream != nil && was == to {
		return stream, nil
	}
	if stream != nil {
		h.shut(stream)
	}
	at, err := targetOf(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverWithin)
	defer cancel()
	h.mu.Lock()
	h.called, h.hangUp = to, cancel
	h.mu.Unlock()
	stream, err = h.network.dial(ctx, at, streamHandOver)
	h.mu.Lock()
	h.called, h.hangUp = "", nil
	if err == nil {
		h.stream, h.to = stream, to
	}
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	go h.await(stream)
	return stream, nil
}

// moved lets go of whoever was the leader when there is another, so that an
// enter that waits for it waits no longer: a peer that lives must be heard soon
// in each term; see silences.
func (h *handOver) moved() {
	if h.network == nil {
		return
	}
	to := h.leader()
	h.mu.Lock()
	stream := h.stream
	if h.to == to {
		stream = nil
	}
	if to != "" && h.called != "" && h.called != to {
		h.hangUp()
	}
	h.mu.Unlock()
	if to != "" && stream != nil {
		h.shut(stream)
	}
}

// await waits for the end of a stream, since nothing else comes back on it.
func (h *handOver) await(stream net.Conn) {
	_, _ = stream.Read(make([]byte, 1))
	if h.shut(stream) {
		h.lost()
	}
}

// shut closes a stream and says whether it was still in use.
func (h *handOver) shut(stream net.Conn) bool {
	h.mu.Lock()
	used := h.stream == stream
	if used {
		h.stream = nil
	}
	h.mu.Unlock()
	stream.Close()
	return used
}

// serve takes what another peer hands over, as long as this one leads.
func (h *handOver) serve(c net.Conn) {
	defer c.Close()
	from := bufio.NewReaderSize(c, readAhead)
	var frame []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		n := int(binary.LittleEndian.Uint32(head[:]))
		if n > handOverBytes {
			return
		}
		if cap(frame) < n || cap(frame) > keptBytes {
			frame = make([]byte, n)
		}
		if _, err := io.ReadFull(from, frame[:n]); err != nil || h.unpack(c, frame[:n]) != nil {
			return
		}
	}
}

// unpack gives the entries of a frame to the rounds. Each is memory of its own,
// since the machine holds on to some.
func (h *handOver) unpack(from net.Conn, frame []byte) error {
	var entries [][]byte
	for len(frame) > 0 {
		n, size := binary.Uvarint(frame)
		if size <= 0 || n == 0 || n > uint64(len(frame)-size) {
			return fmt.Errorf("%w: an entry is empty, or longer than it", errFrame)
		}
		entries = append(entries, append([]byte(nil), frame[size:size+int(n)]...))
		frame = frame[size+int(n):]
	}
	if !h.leading() {
		return errNoLeader
	}
	return h.rounds.add(from, entries)
}
