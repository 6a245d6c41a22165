package sign

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// challenge has the sender refused for its clock, and returns the challenge as
// it comes over the wire.
func (w *world) challenge() string {
	w.t.Helper()
	r := request(w.t, "POST", "/vera/call/hello", "greetings")
	w.sign(r, "greetings")
	header := http.Header{}
	w.receiver.Ask(header, w.mustRefuse("with a wrong clock", r, "created must be within"))
	name, challenge, err := Asked(header, keyIDOf(w.own))
	if name != w.receiver.Name() || challenge == "" || err != nil {
		w.t.Fatalf("asked for %q, %q, %v", name, challenge, err)
	}
	return challenge
}

func TestChallengeIsInTimeWhateverTheClockSays(t *testing.T) {
	for _, away := range []time.Duration{10 * time.Minute, -10 * time.Minute, 90 * 365 * 24 * time.Hour, -56 * 365 * 24 * time.Hour} {
		w := newWorld(t)
		w.away = away
		challenge := w.challenge()
		r := w.challenged(challenge)
		w.mustAccept(away.String(), r)
		w.mustRefuse("the same again", r, "nonce was there before")
		w.mustRefuse("another request with that challenge", w.challenged(challenge), "nonce was there before")
		w.mustRefuse("none", w.call(), "created must be within")
	}
}

func TestChallengeIsGoodForTenSeconds(t *testing.T) {
	w := newWorld(t)
	w.away = time.Hour
	first, second := w.challenge(), w.challenge()
	w.now = w.now.Add(ChallengeLife)
	w.mustAccept("just in time", w.challenged(first))
	w.now = w.now.Add(challengeTick)
	refusal := w.mustRefuse("too late", w.challenged(second), "created must be within")
	w.mustAccept("with the next", w.challenged(refusal.Challenge))
	w.mustRefuse("the first, spent and too late", w.challenged(first), "created must be within")
}

func TestSpentChallengeStaysSpentWhenTheClockBecomesRight(t *testing.T) {
	w := newWorld(t)
	w.away = 10 * time.Minute
	r := w.challenged(w.challenge())
	w.mustAccept("the request", r)
	w.now = w.now.Add(10 * time.Minute)
	w.mustRefuse("the request when its time has come", r, "created must be within")
	w.now = w.now.Add(-10 * time.Minute)
	w.mustRefuse("and after that", r, "signature-input")
}

func TestChallengeIsForOnePeer(t *testing.T) {
	w := newWorld(t)
	w.away = time.Hour
	challenge := w.challenge()
	w.sender.Key = w.newKey()
	w.mustRefuse("that of another peer", w.challenged(challenge), "nonce is no challenge of ours")
	w.sender.Key = w.key
	w.receiver = w.newReceiver(w.own)
	w.mustRefuse("that of an earlier start", w.challenged(challenge), "nonce is no challenge of ours")
	for i := range challenge {
		forged := []byte(challenge)
		forged[i] ^= 1
		w.mustRefuse("a forged one", w.challenged(string(forged)), "")
	}
}

func TestNonceMustBeOfSixteenBytes(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"a", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAA/AAAAAAAAAA",
		strings.Repeat("A", 44), "c" + strings.Repeat("A", 43), "c" + strings.Repeat("A", 42), strings.Repeat("c", 44)} {
		w.mustRefuse(bad, w.challenged(bad), "nonce")
	}
}

// A flood of challenged requests by ever new peers costs nobody the answer to
// a challenge that is young.
func TestChallengeOutlivesAFlood(t *testing.T) {
	w := newWorld(t)
	w.away = time.Hour
	challenge := w.challenge()
	now := int64(w.receiver.since() / challengeTick)
	for i := range 2 * maxKeys {
		w.receiver.challenges.spend(strconv.Itoa(i), nonce{}, now-1+int64(ChallengeLife/challengeTick), now)
	}
	w.mustAccept("in spite of the flood", w.challenged(challenge))
}

func TestAskedReadsOnlyWhatAskWrites(t *testing.T) {
	name := strings.Repeat("A", 43) + "/0123456789abcdef"
	keyID := name[:43]
	good := "c" + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for text, accepted := range map[string]bool{
		`vera=("@method");nonce="` + good + `"`:                   true,
		`vera=();nonce="` + good + `"`:                            true,
		`vera=("@method")`:                                        false,
		`vera=("@method");nonce="` + good[:43] + `"`:              false,
		`vera=("@method");nonce="d` + good[1:] + `"`:              false,
		`vera=("@method");nonce="` + good[:43] + `+"`:             false,
		`vera=("@method");nonce=:AAAA:`:                           false,
		`other=("@method");nonce="` + good + `"`:                  false,
		`vera=();nonce="` + good + `", b=();nonce="` + good + `"`: false,
		`vera=1;nonce="` + good + `"`:                             false,
		`vera`:                                                    false,
		`(`:                                                       false,
		strings.Repeat("a", maxInput+1):                           false,
	} {
		_, challenge, err := Asked(http.Header{"Vera-Receiver": {name}, "Accept-Signature": {text}}, keyID)
		if accepted != (err == nil && challenge == good) {
			t.Errorf("%.80s: %q, %v", text, challenge, err)
		}
	}
}
