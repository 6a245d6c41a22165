package sign

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// Skew is how far two peers' clocks may be apart before a request needs a
	// challenge.
	Skew = 30 * time.Second

	maxSkewTold = 1_000_000_000 // seconds: more would not fit into a Duration
)

// Receiver finds out who signed a request. Its methods may be called from any
// goroutine.
type Receiver struct {
	name    string
	cluster func() string
	now     func() time.Time
	began   time.Time
	secret  [32]byte      // what challenges are made with
	drawn   func() uint64 // a number that was never drawn before

	mu         sync.Mutex
	elapsed    time.Duration // since began, as far as it was seen; never falls
	requests   nonces        // deadlines in Unix seconds
	challenges nonces        // deadlines in tenths of a second since began
}

// NewReceiver returns the Receiver of the peer with this KeyID, for this run
// of its process. cluster returns the id of the cluster that the peer is in, ""
// for none. random is crypto/rand.Reader; the error is its.
func NewReceiver(keyID string, cluster func() string, now func() time.Time, random io.Reader) (*Receiver, error) {
	v := &Receiver{cluster: cluster, now: now, began: now(), drawn: counter()}
	var start [8]byte
	if _, err := io.ReadFull(random, start[:]); err != nil {
		return nil, fmt.Errorf("sign: start number: %w", err)
	}
	if _, err := io.ReadFull(random, v.secret[:]); err != nil {
		return nil, fmt.Errorf("sign: secret of challenges: %w", err)
	}
	v.name = fmt.Sprintf("%s/%016x", keyID, binary.BigEndian.Uint64(start[:]))
	return v, nil
}

// Name is what a request must have in Vera-Receiver: the peer's KeyID and, in
// 16 hexadecimal digits, the number of this start of its process.
func (v *Receiver) Name() string { return v.name }

// Verify returns the KeyID whose signature the request bears, if it may be
// accepted: it then never is again. It says nothing of whose key that is. The
// fields in also must be among those signed. An error is a *Refusal.
func (v *Receiver) Verify(r *http.Request, body []byte, also ...string) (string, error) {
	return v.accept(r, also, false, func() error { return CheckBody(r, body) })
}

// VerifyHead is Verify for a request whose body is not read yet. Who reads it
// must then ask CheckBody.
func (v *Receiver) VerifyHead(r *http.Request, also ...string) (string, error) {
	return v.accept(r, also, false, nil)
}

// VerifyJoiner is VerifyHead for requests between peers that need not be in one
// cluster yet: this one or the sender may be in none. Such a request proves
// nothing but its key.
func (v *Receiver) VerifyJoiner(r *http.Request, also ...string) (string, error) {
	return v.accept(r, also, true, nil)
}

// accept verifies a request; body, if any, looks at its body before the nonce
// is spent.
func (v *Receiver) accept(r *http.Request, also []string, joining bool, body func() error) (string, error) {
	in, err := v.inspect(r, joining, also)
	if err != nil {
		return "", err
	}
	if body != nil {
		if err := body(); err != nil {
			return "", err
		}
	}
	if err := v.admit(in); err != nil {
		return "", err
	}
	return in.keyID, nil
}

// CheckBody says, by a *Refusal, when a body is not the one that the request's
// Content-Digest speaks of.
func CheckBody(r *http.Request, body []byte) error {
	if r.ContentLength != int64(len(body)) || r.Header.Get(fieldDigest) != digest(body) {
		return refuse("content-digest is not that of the body")
	}
	return nil
}

// inspect checks all of a request but its body, its time and its nonce.
func (v *Receiver) inspect(r *http.Request, joining bool, also []string) (input, error) {
	if r.Proto != "HTTP/1.1" || !strings.HasPrefix(r.RequestURI, "/") {
		return input{}, refuse("the request line must have a path and HTTP/1.1")
	}
	if len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.ContentLength < 0 {
		return input{}, refuse("content-length is missing, or there is a transfer-encoding or a trailer")
	}
	components, err := covered(r.Header, also)
	if err != nil {
		return input{}, refuse("%v", err)
	}
	if len(r.Header[fieldInput]) != 1 || len(r.Header[fieldSignature]) != 1 {
		return input{}, refuse("signature-input and signature must be there once")
	}
	in, refusal := parseInput(r.Header[fieldInput][0], components)
	if refusal != nil {
		return input{}, refusal
	}
	if refusal := v.checkSignature(r, in); refusal != nil {
		return input{}, refusal
	}
	if life := in.expires - in.created; life < 1 || life > int64(Life/time.Second) {
		return input{}, refuse("signature-input: expires must be 1 to %d s after created", Life/time.Second)
	}
	return in, v.checkPlace(r, joining)
}

// checkSignature says when the signature is not that of the keyid.
func (v *Receiver) checkSignature(r *http.Request, in input) *Refusal {
	key, err := ParseKeyID(in.keyID)
	if err != nil {
		return refuse("signature-input: %v", err)
	}
	signature, refusal := parseSignature(r.Header[fieldSignature][0])
	if refusal != nil {
		return refusal
	}
	base, err := received(r).base(in.components, in.String())
	if err != nil {
		return refuse("%v", err)
	}
	if !ed25519.Verify(key, base, signature) {
		return refuse("signature is not that of the request by keyid")
	}
	return nil
}

// checkPlace says when a request is meant for another peer, another start of
// this one, or another cluster.
func (v *Receiver) checkPlace(r *http.Request, joining bool) error {
	if r.Header.Get(fieldReceiver) != v.name {
		return refuse("vera-receiver is another")
	}
	here, there := v.cluster(), r.Header.Get(fieldCluster)
	if here == "" {
		here = NoCluster
	}
	if here != there && (!joining || (here != NoCluster && there != NoCluster)) {
		return refuse("vera-cluster is another")
	}
	return nil
}

// admit checks that a well signed request is in time and new, and spends its
// nonce.
func (v *Receiver) admit(in input) error {
	if strings.HasPrefix(in.nonce, challengeMark) && len(in.nonce) == challengeSize {
		return v.admitChallenged(in)
	}
	var n nonce
	if read, err := plain.DecodeString(in.nonce); err != nil || len(read) != nonceSize || copy(n[:], read) != nonceSize {
		return refuse("signature-input: nonce must be %d bytes in base64url", nonceSize)
	}
	now := v.now().Unix()
	skew := int64(Skew / time.Second)
	deadline := in.expires + skew
	if now < in.created-skew || now > deadline {
		return v.late(in, now)
	}
	v.mu.Lock()
	found := v.requests.spend(in.keyID, n, deadline, now)
	v.mu.Unlock()
	switch found {
	case repeated:
		return refuse("signature-input: nonce was there before")
	case forgotten:
		return v.late(in, now)
	}
	return nil
}

// late refuses a request for its time, with a challenge.
func (v *Receiver) late(in input, now int64) error {
	skew := min(max(in.created-now, -maxSkewTold), maxSkewTold)
	return &Refusal{
		Reason:    fmt.Sprintf("signature-input: created must be within %d s of now", Skew/time.Second),
		Challenge: v.challenge(in.keyID),
		Skew:      time.Duration(skew) * time.Second,
	}
}
