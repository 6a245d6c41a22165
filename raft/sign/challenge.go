package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// ChallengeLife is how long a challenge is good, by the receiver's clock.
	ChallengeLife = 10 * time.Second

	challengeMark = "c"                     // no other nonce is as long
	challengeSize = len(challengeMark) + 43 // characters
	challengeTick = 100 * time.Millisecond
)

// counter returns a function that draws 1, 2, 3 and so on.
func counter() func() uint64 {
	var last atomic.Uint64
	return func() uint64 { return last.Add(1) }
}

// since is how long ago this Receiver began. It never falls, also when the
// clock does.
func (v *Receiver) since() time.Duration {
	passed := v.now().Sub(v.began)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.elapsed = max(v.elapsed, passed)
	return v.elapsed
}

// challenge makes a nonce for a peer to sign: when it was made, a number, and
// a MAC over both and the peer's KeyID. So none has to be remembered.
func (v *Receiver) challenge(keyID string) string {
	b := make([]byte, nonceSize, nonceSize*2)
	binary.BigEndian.PutUint64(b, uint64(v.since()/challengeTick))
	binary.BigEndian.PutUint64(b[8:], v.drawn())
	return challengeMark + plain.EncodeToString(v.mac(b, keyID))
}

// mac appends to what a challenge says its MAC.
func (v *Receiver) mac(said []byte, keyID string) []byte {
	h := hmac.New(sha256.New, v.secret[:])
	h.Write(said)
	h.Write([]byte(keyID))
	return append(said, h.Sum(nil)[:nonceSize]...)
}

// admitChallenged is admit for a request whose nonce is a challenge.
func (v *Receiver) admitChallenged(in input) error {
	var n nonce
	said, err := plain.DecodeString(in.nonce[len(challengeMark):])
	if err != nil || copy(n[:], said) < nonceSize || !hmac.Equal(said, v.mac(n[:nonceSize:nonceSize], in.keyID)) {
		return refuse("signature-input: nonce is no challenge of ours")
	}
	made := int64(binary.BigEndian.Uint64(n[:]))
	now := int64(v.since() / challengeTick)
	deadline := made + int64(ChallengeLife/challengeTick)
	found := forgotten
	if now <= deadline {
		v.mu.Lock()
		found = v.challenges.spend(in.keyID, n, deadline, now)
		v.mu.Unlock()
	}
	switch found {
	case repeated:
		return refuse("signature-input: nonce was there before")
	case forgotten:
		return v.late(in, v.now().Unix())
	}
	return nil
}

// Ask sets, in the head of a 401, what its sender needs to do better: this
// Receiver's name and, when err has one, the challenge (RFC 9421, section 5).
func (v *Receiver) Ask(header http.Header, err error) {
	header.Set(fieldReceiver, v.name)
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Challenge != "" {
		header.Set(fieldAccept, label+`=("@method" "@target-uri" "content-digest" "vera-cluster" "vera-receiver")`+
			`;created;expires;nonce="`+refusal.Challenge+`";keyid;alg="`+alg+`";tag="`+tag+`"`)
	}
}

// Asked returns what the head of a 401 asks for: the receiver's name, which
// must be that of the peer with this KeyID, and a challenge or "".
func Asked(header http.Header, keyID string) (receiver, challenge string, err error) {
	receiver = header.Get(fieldReceiver)
	start, found := strings.CutPrefix(receiver, keyID+"/")
	if !found || len(start) != 16 || strings.Trim(start, "0123456789abcdef") != "" {
		return "", "", errors.New("sign: vera-receiver is not the peer that was asked")
	}
	text := header.Get(fieldAccept)
	if text == "" {
		return receiver, "", nil
	}
	list, refusal := innerList(text, "accept-signature")
	if refusal != nil {
		return "", "", errors.New("sign: " + refusal.Reason)
	}
	if !parameter(list, "nonce", &challenge) || len(challenge) != challengeSize || !strings.HasPrefix(challenge, challengeMark) {
		return "", "", errors.New("sign: accept-signature: nonce is no challenge")
	}
	if _, err := plain.DecodeString(challenge[len(challengeMark):]); err != nil {
		return "", "", errors.New("sign: accept-signature: nonce is no challenge")
	}
	return receiver, challenge, nil
}
