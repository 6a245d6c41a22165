//go:build unix

package socket

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Goroutines returns the back end with one goroutine a connection, which waits
// for bytes without holding a buffer for them, and which writes at once what
// the kernel takes. What is not plain TCP goes to Streams.
func Goroutines() Backend { return goroutines{} }

type goroutines struct{}

func (goroutines) carry(s *Socket, conn net.Conn) wire {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return streams{}.carry(s, conn)
	}
	control, err := tcp.SyscallConn()
	if err != nil {
		return streams{}.carry(s, conn)
	}
	w := &raw{stream: stream{s: s, conn: conn}, control: control}
	w.readable, w.writable = w.tryRead, w.tryWrite
	boundUnsent(control)
	return w
}

// raw is the wire of a plain TCP connection.
type raw struct {
	stream
	control            syscall.RawConn
	readable, writable func(fd uintptr) bool // bound once: a wait allocates nothing

	// Of the goroutine that reads.
	buffer *[readBytes]byte
	came   int
	failed error

	job *job // of the goroutine that writes, while it writes
}

func (w *raw) read(rest []byte) { w.s.group.spawn(func() { w.run(rest) }) }

func (w *raw) run(rest []byte) {
	defer w.s.finish()
	if len(rest) > 0 {
		w.parked.take(w.s, rest)
	}
	for {
		if err := w.control.Read(w.readable); err != nil || w.failed != nil {
			return
		}
		w.parked.take(w.s, w.buffer[:w.came])
		w.s.group.buffers.Put(w.buffer)
		w.buffer = nil
	}
}

// tryRead takes a buffer only for as long as it asks the kernel, and keeps it
// when there was something to read.
func (w *raw) tryRead(fd uintptr) bool {
	buffer := w.s.group.buffers.Get().(*[readBytes]byte)
	n, err := retry(int(fd), buffer[:], unix.Read)
	if err == nil && n > 0 {
		w.buffer, w.came = buffer, n
		return true
	}
	w.s.group.buffers.Put(buffer)
	if err == unix.EAGAIN {
		return false
	}
	if w.failed = err; err == nil {
		w.failed = io.EOF
	}
	return true
}

func (w *raw) write(p []byte, wait bool) (int, error) {
	j := &w.s.out.job
	*j = job{bytes: p, wait: wait}
	w.job = j
	err := w.control.Write(w.writable)
	w.job = nil
	if j.err != nil {
		err = j.err
	}
	j.bytes = nil
	return j.went, err
}

func (w *raw) tryWrite(fd uintptr) bool {
	n, err := retry(int(fd), w.job.bytes, unix.Write)
	if err == unix.EAGAIN {
		return !w.job.wait
	}
	w.job.went, w.job.err = max(n, 0), err
	return true
}

func (w *raw) held() bool { return waits(w.conn) }

func (w *raw) shut() {
	if w.conn.(*net.TCPConn).CloseWrite() != nil {
		w.cut()
	}
}

// retry calls a system call again when a signal came in between.
func retry(fd int, p []byte, call func(int, []byte) (int, error)) (n int, err error) {
	for {
		if n, err = call(fd, p); err != unix.EINTR {
			return n, err
		}
	}
}

// waits says whether bytes wait on the connection to be read.
func waits(conn net.Conn) (some bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	control, err := c.SyscallConn()
	if err != nil {
		return false
	}
	err = control.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		some = err == nil && n > 0
	})
	return some && err == nil
}
