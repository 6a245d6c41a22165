package sign

import (
	"strings"
	"testing"
	"time"
)

// Each reason is told by its name, and before the body is read.
func TestReasonsAreTold(t *testing.T) {
	w := newWorld(t)
	sent := string(wire(t, w.call()))
	for _, c := range []struct{ from, to, reason string }{
		{"HTTP/1.1", "HTTP/1.0", "HTTP/1.1"},
		{" /vera", " https://10.0.0.7:8373/vera", "must have a path"},
		{"POST /vera/call/hello", "OPTIONS *", "must have a path"},
		{"Content-Length: 9", "Transfer-Encoding: chunked", "content-length is missing"},
		{`alg="ed25519"`, `alg="hmac-sha256"`, "alg must be ed25519"},
		{`tag="vera"`, `tag="other"`, "tag must be vera"},
		{`"content-digest" `, ``, "content-digest is not covered"},
		{`"@method" `, ``, "@method is not covered"},
		{"Signature: vera", "Signature: vera=:AA==:, b", "2 labels"},
		{"Signature-Input: vera", "Signature-Input: b=(), vera", "2 labels"},
		{"Signature-Input: vera", "Signature-Input: b", "must be vera="},
		{"Signature-Input: vera=", "Signature-Input: vera=(", "is not a dictionary"},
		{"Signature: vera=", "Signature: vera=1;x=", "signature: must be vera="},
		{"Signature: vera=:", "Signature: vera=:AAA", "is not a dictionary"},
		{"Signature-Input: ", "X-Signature-Input: ", "must be there once"},
		{"Signature: ", "Signature: x\r\nSignature: ", "must be there once"},
		{"Signature-Input: vera", "Signature-Input: " + strings.Repeat("a", maxInput), "longer than"},
		{"Signature: vera", "Signature: " + strings.Repeat("a", maxInput), "longer than"},
		{";created", ";creates", "created, expires, nonce or keyid is missing"},
		{"/vera/call/hello", "/vera/call/hullo", "is not that of the request by keyid"},
		{"\r\nVera-Cluster", strings.Repeat("\r\nX: 1", 2) + "\r\nVera-Cluster", "is there 2 times"},
	} {
		changed := strings.Replace(sent, c.from, c.to, 1)
		if changed == sent {
			t.Fatalf("%q is not in the request", c.from)
		}
		r, err := head(changed)
		if err != nil {
			t.Fatalf("%q: %v", c.to, err)
		}
		if _, err := w.receiver.VerifyHead(r); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q for %q: %v; must say %q", c.to, c.from, err, c.reason)
		}
	}
	many := request(t, "POST", "/", "")
	for i := range maxFields {
		many.Header.Set("X-"+strings.Repeat("x", i), "1")
	}
	if err := w.sender.Sign(many, nil, w.receiver.Name(), ""); err == nil || !strings.Contains(err.Error(), "at most 32") {
		t.Errorf("with many fields: %v", err)
	}
}

// A challenge does not live longer because the clock went back, and what was
// spent stays so.
func TestChallengeClockNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	w.away = time.Hour
	spent := w.challenged(w.challenge())
	w.mustAccept("a request", spent)
	old := w.challenge()
	w.now = w.now.Add(ChallengeLife + time.Second)
	w.mustAccept("a later one, at which the first is forgotten", w.challenged(w.challenge()))
	w.now = w.now.Add(-time.Hour)
	w.mustRefuse("the first again", spent, "signature-input")
	w.mustRefuse("with an old challenge", w.challenged(old), "created must be within")
	w.mustAccept("with a new one", w.challenged(w.challenge()))
}
