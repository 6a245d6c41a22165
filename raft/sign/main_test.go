package sign

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a peer that signs and one that receives, in one cluster, each with a
// wall clock that the test moves.
type world struct {
	t        testing.TB
	random   io.Reader
	key      ed25519.PrivateKey // the sender's
	keyID    string
	own      ed25519.PrivateKey // the receiver's
	cluster  string             // of both
	away     time.Duration      // of the sender's clock from the receiver's
	now      time.Time          // by the receiver's clock
	sender   *Sender
	receiver *Receiver
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, random: rand.NewChaCha8([32]byte{1}), cluster: "3f9a01bc", now: time.Unix(1_800_000_000, 0)}
	w.key, w.own = w.newKey(), w.newKey()
	w.keyID = keyIDOf(w.key)
	w.sender = &Sender{w.key, w.clusterID, func() time.Time { return w.now.Add(w.away) }, w.random}
	w.receiver = w.newReceiver(w.own)
	return w
}

func (w *world) clusterID() string { return w.cluster }

func (w *world) newKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(w.random, seed); err != nil {
		w.t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func keyIDOf(k ed25519.PrivateKey) string { return KeyID(k.Public().(ed25519.PublicKey)) }

// newReceiver starts a peer's process.
func (w *world) newReceiver(k ed25519.PrivateKey) *Receiver {
	v, err := NewReceiver(keyIDOf(k), w.clusterID, func() time.Time { return w.now }, w.random)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// request is a client's, not signed yet.
func request(t testing.TB, method, path, body string, fields ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "https://10.0.0.7:8373"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

// call is a plain signed request with a body.
func (w *world) call() *http.Request {
	w.t.Helper()
	r := request(w.t, "POST", "/vera/call/hello", "greetings")
	w.sign(r, "greetings")
	return r
}

func (w *world) sign(r *http.Request, body string, also ...string) {
	w.t.Helper()
	if err := w.sender.Sign(r, []byte(body), w.receiver.Name(), "", also...); err != nil {
		w.t.Fatal(err)
	}
}

// challenged signs a call with a challenge.
func (w *world) challenged(challenge string) *http.Request {
	w.t.Helper()
	r := request(w.t, "POST", "/vera/call/hello", "greetings")
	if err := w.sender.Sign(r, []byte("greetings"), w.receiver.Name(), challenge); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// wire is the request as net/http sends it.
func wire(t testing.TB, r *http.Request) []byte {
	t.Helper()
	r = r.Clone(r.Context())
	if r.GetBody != nil {
		r.Body, _ = r.GetBody()
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// parse reads one request off a connection, as net/http does; nothing may
// follow.
func parse(sent []byte) (*http.Request, []byte, error) {
	b := bufio.NewReader(bytes.NewReader(sent))
	r, err := http.ReadRequest(b)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	if b.Buffered() > 0 {
		return nil, nil, errors.New("there is more")
	}
	return r, body, nil
}

// head is parse for who reads no body.
func head(sent string) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReader(strings.NewReader(sent)))
}

// verify sends a request over a wire and has v verify it.
func verify(v *Receiver, t testing.TB, r *http.Request, also ...string) (string, error) {
	t.Helper()
	got, body, err := parse(wire(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return v.Verify(got, body, also...)
}

// mustAccept fails the test unless the request is accepted as the sender's.
func (w *world) mustAccept(what string, r *http.Request, also ...string) {
	w.t.Helper()
	if keyID, err := verify(w.receiver, w.t, r, also...); err != nil || keyID != w.keyID {
		w.t.Errorf("%s: %q, %v; must be accepted", what, keyID, err)
	}
}

// mustRefuse fails the test unless the request is refused for a reason that
// has these words. It returns the refusal.
func (w *world) mustRefuse(what string, r *http.Request, words string, also ...string) *Refusal {
	w.t.Helper()
	keyID, err := verify(w.receiver, w.t, r, also...)
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || keyID != "" || !strings.Contains(refusal.Reason, words) {
		w.t.Errorf("%s: %q, %v; must be refused because %q", what, keyID, err, words)
		return &Refusal{}
	}
	return refusal
}

// resign signs what a request has, as its Signature-Input says, whatever that
// is: what a peer with that key could send if it were not a Sender.
func resign(t testing.TB, r *http.Request, key ed25519.PrivateKey, body string) {
	t.Helper()
	input := strings.TrimPrefix(r.Header.Get(fieldInput), label+"=")
	inside, _, _ := strings.Cut(strings.TrimPrefix(input, "("), ")")
	components := strings.Fields(strings.ReplaceAll(inside, `"`, ""))
	base, err := toSend(r, len(body)).base(components, input)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(fieldSignature, label+"=:"+base64.StdEncoding.EncodeToString(ed25519.Sign(key, base))+":")
}

// fieldsOf are the names of a request's fields, sorted.
func fieldsOf(r *http.Request) []string { return slices.Sorted(maps.Keys(r.Header)) }

// same says whether two requests are one in the eyes of HTTP.
func same(a, b *http.Request, bodyA, bodyB []byte) bool {
	text := func(r *http.Request, body []byte) string {
		return fmt.Sprint(r.Method, r.RequestURI, r.Host, r.Proto, r.Header, r.ContentLength, r.TransferEncoding, r.Trailer, body)
	}
	return text(a, bodyA) == text(b, bodyB)
}
