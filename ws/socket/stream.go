package socket

import (
	"net"
	"sync/atomic"
)

// Streams returns the back end that works everywhere: a goroutine a connection,
// one more while it writes. It knows nothing of a connection but net.Conn, so
// it is the one for TLS.
func Streams() Backend { return streams{} }

type streams struct{}

func (streams) carry(s *Socket, conn net.Conn) wire { return &stream{s: s, conn: conn} }

// stream is the wire of a net.Conn. While nothing comes its goroutine waits
// for a single byte, the first of a frame, so that it needs no buffer.
type stream struct {
	s      *Socket
	conn   net.Conn
	parked parking
	ended  atomic.Bool
	first  [1]byte
}

func (w *stream) read(rest []byte) { w.s.group.spawn(func() { w.run(rest) }) }

func (w *stream) run(rest []byte) {
	defer w.s.finish()
	if len(rest) > 0 {
		w.parked.take(w.s, rest)
	}
	for {
		if n, err := w.conn.Read(w.first[:]); err != nil || n == 0 {
			return
		}
		w.parked.take(w.s, w.first[:])
		if w.s.between() {
			continue
		}
		if !w.fill() {
			return
		}
	}
}

// fill reads until no frame is half done, with a buffer.
func (w *stream) fill() bool {
	g := w.s.group
	buffer := g.buffers.Get().(*[readBytes]byte)
	defer g.buffers.Put(buffer)
	for !w.s.between() {
		n, err := w.conn.Read(buffer[:])
		if err != nil || n == 0 {
			return false
		}
		w.parked.take(w.s, buffer[:n])
	}
	return true
}

func (w *stream) resume() { w.parked.open(w.s) }

func (w *stream) write(p []byte, wait bool) (int, error) {
	if !wait {
		return 0, nil
	}
	return w.conn.Write(p[:min(len(p), pieceBytes)])
}

func (w *stream) later() { w.s.group.spawn(func() { w.s.flush(true) }) }

// inner returns the connection below TLS, or the connection itself.
func (w *stream) inner() net.Conn {
	if outer, ok := w.conn.(interface{ NetConn() net.Conn }); ok {
		return outer.NetConn()
	}
	return w.conn
}

func (w *stream) held() bool { return waits(w.inner()) }

// shut is not done on the caller's goroutine since TLS writes a last record.
func (w *stream) shut() {
	w.s.group.spawn(func() {
		type halfCloser interface{ CloseWrite() error }
		inner := w.inner()
		if outer, ok := w.conn.(halfCloser); ok && inner != w.conn {
			_ = outer.CloseWrite()
		}
		if half, ok := inner.(halfCloser); !ok || half.CloseWrite() != nil {
			w.cut()
		}
	})
}

func (w *stream) cut() {
	if w.ended.CompareAndSwap(false, true) {
		_ = w.inner().Close()
	}
	w.resume()
}
