package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"vera/raft/sign"
)

// The paths, followed by a name, and the fields of a request beside those of
// package sign.
const (
	callPath   = "/vera/call/"
	streamPath = "/vera/stream/"

	fieldConnection = "Vera-Connection" // the exporter value of the TLS connection
	fieldProof      = "Vera-Proof"      // of the secret; also in an answer
	protocol        = "vera-stream"     // of Upgrade
)

// visit is one request.
type visit struct {
	link *Link
	w    http.ResponseWriter
	r    *http.Request
	wire *wire
	from Caller
}

// denial is why a request is not handled.
type denial struct {
	status int
	label  string // in metrics
	reason string // for people
	more   error  // the *sign.Refusal, if it is one
}

func no(label, reason string) *denial {
	return &denial{http.StatusUnauthorized, label, reason, nil}
}

// serve is the handler of all requests.
func (l *Link) serve(w http.ResponseWriter, r *http.Request) {
	v := &visit{link: l, w: w, r: r, wire: r.Context().Value(wireOf{}).(*wire)}
	if !l.enter() {
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	}
	defer l.handlers.Done()
	defer func() {
		if p := recover(); p != nil {
			l.o.Logger.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("path", r.URL.Path).Msg("a request of another peer failed")
			panic(http.ErrAbortHandler)
		}
	}()
	if d := v.handle(); d != nil {
		v.deny(d)
	}
}

func (v *visit) handle() *denial {
	if ofClients(v.r.URL.Path) {
		return &denial{http.StatusNotFound, "client", "this is where peers speak with each other: clients use another port", nil}
	}
	if d := v.meet(); d != nil {
		return d
	}
	if d := v.verify(); d != nil {
		return d
	}
	if kind, ok := strings.CutPrefix(v.r.URL.Path, streamPath); ok && isName(kind) {
		return v.stream(kind)
	}
	if what, ok := strings.CutPrefix(v.r.URL.Path, callPath); ok && isName(what) {
		return v.call(what)
	}
	return &denial{http.StatusNotFound, "path", "there is nothing at this path", nil}
}

// ofClients says whether a path is one of the client listener.
func ofClients(path string) bool {
	return path == "/connect" || path == "/session" || path == "/vera/peers" || path == "/data" || strings.HasPrefix(path, "/data/")
}

// isName says whether a call or a kind of stream may have the name.
func isName(s string) bool {
	odd := func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	return s != "" && len(s) <= maxName && strings.IndexFunc(s, odd) < 0
}

// meet looks at what costs nothing: the key that TLS has seen, membership, the
// proof. Nothing is read of who does not pass.
func (v *visit) meet() *denial {
	v.from.Key = keyOf(*v.r.TLS)
	if v.from.Key == "" {
		return no("certificate", "your TLS certificate: there is none, or it is not of an ed25519 key")
	}
	if v.r.Header.Get("Signature") == "" {
		return no("unsigned", "the request is not signed")
	}
	if v.wire.exporter == nil {
		var err error
		if v.wire.exporter, err = exporter(*v.r.TLS); err != nil {
			return no("connection", "TLS: there is no exporter value")
		}
	}
	proof := v.r.Header.Get(fieldProof)
	v.from.Proven = proves(proof, v.link.o.Secret, asking, v.wire.exporter, v.from.Key)
	v.from.Trusted = v.link.o.Trusted(v.from.Key)
	switch {
	case v.from.Trusted || v.from.Proven:
		return nil
	case proof != "":
		return no("secret", "your secret is not that of this cluster")
	default:
		return no("unknown", "your key is not that of a peer of this cluster")
	}
}

// verify checks the signature, and then once more who asks: a peer may have been
// removed meanwhile.
func (v *visit) verify() *denial {
	if v.r.Header.Get(fieldConnection) != text(v.wire.exporter) {
		return no("connection", "the request was made for another TLS connection")
	}
	verify := v.link.receiver.VerifyHead
	if v.from.Proven {
		verify = v.link.receiver.VerifyJoiner // the secret says which cluster is meant
	}
	key, err := verify(v.r)
	if refusal, ok := errors.AsType[*sign.Refusal](err); ok {
		return v.refuse(refusal)
	} else if err != nil {
		return no("signature", err.Error())
	}
	if key != v.from.Key {
		return no("key", "the request is signed with another key than your TLS certificate's")
	}
	v.from.Trusted = v.wire.admit(key)
	if !v.from.Trusted && !v.from.Proven {
		return no("unknown", "your key is not that of a peer of this cluster any more")
	}
	if !v.from.Trusted {
		v.wire.host()
	}
	return nil
}

func (v *visit) refuse(r *sign.Refusal) *denial {
	d := &denial{http.StatusUnauthorized, "signature", r.Reason, r}
	if r.Challenge != "" {
		d.label = "time"
		v.link.metrics.skewed(v.link, v.from.Key, r.Skew)
	}
	return d
}

// call has Options.Call answer.
func (v *visit) call(what string) *denial {
	if v.r.Method != http.MethodPost {
		v.w.Header().Set("Allow", http.MethodPost)
		return &denial{http.StatusMethodNotAllowed, "method", "a call is a POST", nil}
	}
	body, d := v.body()
	if d != nil {
		return d
	}
	if err := sign.CheckBody(v.r, body); err != nil {
		return no("digest", "content-digest: is not that of the body")
	}
	answer, err := v.link.o.Call(v.r.Context(), v.from, what, body)
	if err == nil && len(answer) > MaxBody {
		err = fmt.Errorf("the answer has %d bytes, at most %d", len(answer), MaxBody)
	}
	if err != nil {
		v.answer(http.StatusUnprocessableEntity, []byte(err.Error()[:min(len(err.Error()), maxTold)]))
		return nil
	}
	v.answer(http.StatusOK, answer)
	return nil
}

// body reads the body: as long as it comes, and no more of it than is allowed.
func (v *visit) body() ([]byte, *denial) {
	l := v.link
	size := v.r.ContentLength
	if size < 0 || size > MaxBody {
		return nil, &denial{http.StatusRequestEntityTooLarge, "large", "the body has more than " + strconv.Itoa(MaxBody) + " bytes", nil}
	}
	control := http.NewResponseController(v.w)
	end := time.Now().Add(l.limits.body)
	if size > smallBody {
		wait, stop := context.WithTimeout(v.r.Context(), l.limits.piece)
		defer stop()
		select {
		case l.reads <- struct{}{}:
			defer func() { <-l.reads }()
		case <-wait.Done():
			return nil, &denial{http.StatusServiceUnavailable, "busy", "too many large bodies at a time", nil}
		}
	}
	var body []byte
	for int64(len(body)) < size {
		by := time.Now().Add(l.limits.piece)
		if end.Before(by) {
			by = end
		}
		_ = control.SetReadDeadline(by)
		have := len(body)
		body = append(body, make([]byte, min(piece, int(size)-have))...)
		if _, err := io.ReadFull(v.r.Body, body[have:]); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, &denial{http.StatusRequestTimeout, "slow", "the body came too slowly", nil}
		} else if err != nil {
			return nil, &denial{http.StatusBadRequest, "short", "the body ended early", nil}
		}
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// answer writes an answer, with the proof for who proved himself.
func (v *visit) answer(status int, body []byte) {
	h := v.w.Header()
	if v.from.Proven {
		h.Set(fieldProof, prove(v.link.o.Secret, answering, v.wire.exporter, v.link.id))
	}
	if !v.from.Trusted && status != http.StatusUnauthorized {
		h.Set("Connection", "close")
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(v.link.limits.write))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(body) // who left does not hear it
}

// deny answers what is not handled. Whoever is no member loses the connection,
// and what is left of a body is never read.
func (v *visit) deny(d *denial) {
	l := v.link
	l.metrics.refused(d.label)
	event := l.o.Logger.Debug()
	if d.label == "secret" || d.label == "signature" || d.label == "key" || d.label == "connection" {
		event = l.rarely.Warn() // a mistake of an operator, or an attack
	}
	event.Str("reason", d.reason).Int("status", d.status).Str("from", v.r.RemoteAddr).Str("key", v.from.Key).Msg("a request of a peer was refused")
	h := v.w.Header()
	if d.status == http.StatusUnauthorized {
		l.receiver.Ask(h, d.more)
	}
	keep := v.from.Trusted || v.from.Proven
	by := time.Now()
	if v.r.ContentLength < 0 || v.r.ContentLength > smallBody || !keep {
		h.Set("Connection", "close")
	} else {
		by = by.Add(l.limits.piece) // net/http reads the rest
	}
	_ = http.NewResponseController(v.w).SetReadDeadline(by)
	v.answer(d.status, []byte(d.reason))
}
