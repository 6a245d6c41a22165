package socket

import (
	"net"
	"time"
)

// Backend moves the bytes of sockets.
type Backend interface {
	// carry takes over a connection for s. It must not read yet.
	carry(s *Socket, conn net.Conn) wire
}

// wire is one socket's connection as a back end has it.
type wire interface {
	// read begins to read: it calls s.arrived, first with rest, then with what
	// comes, and s.finish when nothing can come any more. When arrived takes not
	// all it waits for resume before it goes on with what is left.
	read(rest []byte)
	// resume ends the waiting. It may come before the waiting begins.
	resume()
	// write writes the beginning of p: without wait what goes at once, be it
	// nothing; with wait one byte at least.
	write(p []byte, wait bool) (int, error)
	// later calls s.flush from another goroutine when more can be written. The
	// argument must be what write needs there.
	later()
	// held says whether bytes came that were not read yet.
	held() bool
	// shut tells the other side that nothing more is sent.
	shut()
	// cut closes the connection for good and ends the reading. It may be called
	// more than once.
	cut()
}

const (
	// readBytes is the size of a buffer to read into.
	readBytes = 16 << 10
	// pieceBytes is written at once where the progress of a write cannot be seen.
	pieceBytes = 16 << 10
)

// closeWithin bounds the time from the beginning of the closing to the end.
const closeWithin = 2 * time.Second

// parking is where a goroutine waits for resume.
type parking struct {
	resumed chan struct{} // made when first needed, by either side
}

// place returns the channel, under the socket's lock.
func (p *parking) place(s *Socket) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.resumed == nil {
		p.resumed = make(chan struct{}, 1)
	}
	return p.resumed
}

func (p *parking) open(s *Socket) {
	select {
	case p.place(s) <- struct{}{}:
	default:
	}
}

// take gives s all of what came, and waits where it must.
func (p *parking) take(s *Socket, came []byte) {
	for {
		rest, all := s.arrived(came)
		if all {
			return
		}
		<-p.place(s)
		came = rest
	}
}
