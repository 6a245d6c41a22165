package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// address is whom a connection is for.
type address struct {
	host string // host:port
	key  string // KeyID; "": whoever proves the secret
}

// line is a connection out, for one request at a time.
type line struct {
	to       address
	wire     *wire
	conn     *tls.Conn
	bound    *bound
	r        *bufio.Reader // of bound
	w        *bufio.Writer // of conn
	key      string        // whose it is
	receiver string        // how the other side names itself in signatures
	exporter []byte
	idle     *time.Timer // closes it; under pool.mu
}

// bound lets so many bytes pass: an answer's head has no limit in net/http.
type bound struct {
	r    io.Reader
	left int64
}

func (b *bound) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is longer than it may be")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// connect makes a line. The other side is the holder of to.key, or anybody.
func (l *Link) connect(ctx context.Context, to address) (*line, error) {
	ctx, stop := context.WithTimeout(ctx, l.limits.dial)
	defer stop()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", to.host)
	if err != nil {
		return nil, err
	}
	findSilence(raw)
	w, err := l.leave(raw)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(w, clientTLS(l.own, to.key))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("peer at %s: %w", to.host, err)
	}
	state := conn.ConnectionState()
	ln := &line{to: to, wire: w, conn: conn, key: keyOf(state), bound: &bound{r: conn}}
	ln.r, ln.w = bufio.NewReader(ln.bound), bufio.NewWriter(conn)
	ln.receiver = state.PeerCertificates[0].Subject.CommonName
	if ln.exporter, err = exporter(state); err == nil && !strings.HasPrefix(ln.receiver, ln.key+"/") {
		err = fmt.Errorf("its certificate does not name it")
	}
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("peer at %s: %w", to.host, err)
	}
	return ln, nil
}

// exchange sends a request and reads the head of its answer. After an error, or
// when the context ends before the answer is read, the line is of no more use.
func (ln *line) exchange(ctx context.Context, r *http.Request) (*http.Response, error) {
	ln.bound.left = maxHead
	sent := r.Write(ln.w)
	if sent == nil {
		sent = ln.w.Flush()
	}
	// Who refuses a body answers before all of it is sent, so there may be an
	// answer all the same.
	if sent != nil {
		if ctx.Err() != nil {
			return nil, sent
		}
		_ = ln.conn.SetReadDeadline(time.Now().Add(time.Second))
	}
	answer, err := http.ReadResponse(ln.r, r)
	if err != nil && sent != nil {
		return nil, sent
	}
	if err == nil && (sent != nil || answer.StatusCode < http.StatusOK) {
		answer.Close = true // half a request was sent, or the answer is yet to come
	}
	return answer, err
}

// read reads the body of an answer.
func (ln *line) read(answer *http.Response) ([]byte, error) {
	most := int64(maxTold)
	if answer.StatusCode == http.StatusOK {
		most = MaxBody
	}
	ln.bound.left = most
	if answer.ContentLength < 0 || answer.ContentLength > most {
		return nil, fmt.Errorf("the answer with status %d has no length, or more than %d bytes", answer.StatusCode, most)
	}
	body := make([]byte, answer.ContentLength)
	if _, err := io.ReadFull(answer.Body, body); err != nil {
		return nil, fmt.Errorf("the answer ended early: %w", err)
	}
	return body, nil
}

func (ln *line) close() { _ = ln.conn.Close() }

// during has the context end the line's reads and writes. The function that it
// returns says whether the context did not.
func (ln *line) during(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { _ = ln.conn.SetDeadline(time.Unix(1, 0)) })
}

// pool is the lines to one peer.
type pool struct {
	slots chan struct{} // has one for each line that is in use

	mu   sync.Mutex
	idle []*line // the last used is the last
}

// poolOf returns the pool for a peer. There are not many; when there are, one
// that nobody uses makes room.
func (l *Link) poolOf(to address) *pool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.pools[to]; p != nil {
		return p
	}
	if len(l.pools) >= maxPools {
		for other, p := range l.pools {
			if len(p.slots) == 0 {
				delete(l.pools, other) // its lines close when their time is over
				break
			}
		}
	}
	p := &pool{slots: make(chan struct{}, maxLines)}
	l.pools[to] = p
	return p
}

// take returns a line to a peer: one that is idle, or a new one. It waits while
// there are too many; the line must be put back.
func (l *Link) take(ctx context.Context, p *pool, to address) (*line, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.ctx.Done():
		return nil, ErrClosed
	}
	for {
		ln := p.pop()
		if ln == nil {
			break
		}
		if ln.wire.quiet() {
			return ln, nil
		}
		ln.close()
	}
	ln, err := l.connect(ctx, to)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return ln, nil
}

func (p *pool) pop() *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		ln := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if ln.idle.Stop() {
			return ln
		}
	}
	return nil
}

// put gives a line back: to be used again, or to be closed.
func (l *Link) put(p *pool, ln *line, again bool) {
	defer func() { <-p.slots }()
	if !again || ln.r.Buffered() > 0 {
		ln.close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ln.idle = time.AfterFunc(l.limits.keep, func() { p.drop(ln) })
	p.idle = append(p.idle, ln)
}

// drop closes a line that nobody used.
func (p *pool) drop(ln *line) {
	p.mu.Lock()
	if i := slices.Index(p.idle, ln); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	ln.close()
}
