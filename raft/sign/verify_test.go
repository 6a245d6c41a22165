package sign

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSignedRequestIsAcceptedOnce(t *testing.T) {
	w := newWorld(t)
	r := w.call()
	w.mustAccept("a call", r)
	w.mustRefuse("the same again", r, "nonce was there before")
	w.mustAccept("another", w.call())

	stream := request(t, "GET", "/vera/stream/raft?a=1&b=%2F", "", "Connection", "Upgrade", "Upgrade", "vera-stream", "Vera-Exporter", "c2Vzc2lvbg")
	w.sign(stream, "", "Vera-Exporter")
	w.mustAccept("a stream", stream, "vera-exporter")
}

func TestEveryFieldThatIsThereIsCovered(t *testing.T) {
	w := newWorld(t)
	r := request(t, "POST", "/x", "b", "Expect", "100-continue", "User-Agent", "vera", "Vera-Proof", "p")
	w.sign(r, "b", "Vera-Proof")
	input := r.Header.Get("Signature-Input")
	for _, name := range []string{"@method", "@target-uri", "content-digest", "vera-cluster", "vera-receiver", "expect", "user-agent", "vera-proof"} {
		if !strings.Contains(input, `"`+name+`"`) {
			t.Errorf("%s is not covered: %s", name, input)
		}
	}
	w.mustAccept("with all of them", r, "vera-proof", "expect")

	r = w.call()
	r.Header.Set("X-Late", "1")
	w.mustRefuse("a field that was added", r, "x-late is not covered")
	w.mustRefuse("a field that was asked for", w.call(), "vera-proof is missing", "Vera-Proof")
}

func TestPlaceIsPartOfTheRequest(t *testing.T) {
	w := newWorld(t)
	r := w.call()
	if _, err := verify(w.newReceiver(w.newKey()), t, r); err == nil || !strings.Contains(err.Error(), "vera-receiver is another") {
		t.Errorf("another peer says %v", err)
	}
	if _, err := verify(w.newReceiver(w.own), t, r); err == nil || !strings.Contains(err.Error(), "vera-receiver is another") {
		t.Errorf("the same peer after a restart says %v", err)
	}
	w.cluster = "another"
	w.mustRefuse("in another cluster", r, "vera-cluster is another")
	w.cluster = ""
	w.mustRefuse("when the receiver is in none", r, "vera-cluster is another")
	w.cluster = "3f9a01bc"
	w.mustAccept("where it belongs", r)
}

func TestOnlyJoinersNeedNoCluster(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		here, there string
		joiner, all bool
	}{
		{"a", "a", true, true},
		{"", "", true, true},
		{"a", "", true, false},
		{"", "a", true, false},
		{"a", "b", false, false},
	} {
		w.cluster = c.there
		first, second := w.call(), w.call()
		w.cluster = c.here
		if _, err := verify(w.receiver, t, first); (err == nil) != c.all {
			t.Errorf("from %q to %q: Verify says %v", c.there, c.here, err)
		}
		got, _, err := parse(wire(t, second))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.receiver.VerifyJoiner(got); (err == nil) != c.joiner {
			t.Errorf("from %q to %q: VerifyJoiner says %v", c.there, c.here, err)
		}
	}
}

func TestHeadAndBodyCanBeVerifiedApart(t *testing.T) {
	w := newWorld(t)
	got, body, err := parse(wire(t, w.call()))
	if err != nil {
		t.Fatal(err)
	}
	if keyID, err := w.receiver.VerifyHead(got); err != nil || keyID != w.keyID {
		t.Fatal(keyID, err)
	}
	if err := CheckBody(got, body); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"", "Greetings", "greetings ", "greeting"} {
		if CheckBody(got, []byte(other)) == nil {
			t.Errorf("%q is taken for the body", other)
		}
	}
}

func TestBodyIsLookedAtBeforeTheNonceIsSpent(t *testing.T) {
	w := newWorld(t)
	got, body, err := parse(wire(t, w.call()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.receiver.Verify(got, []byte("Greetings")); err == nil {
		t.Error("another body is accepted")
	}
	if _, err := w.receiver.Verify(got, body); err != nil {
		t.Errorf("after another body was tried: %v", err)
	}
}

func TestClocksMayBeThirtySecondsApart(t *testing.T) {
	for away, accepted := range map[time.Duration]bool{
		0: true, 30 * time.Second: true, -30 * time.Second: true, -60 * time.Second: true,
		31 * time.Second: false, -61 * time.Second: false, 10 * time.Minute: false, -10 * time.Minute: false,
		100 * 365 * 24 * time.Hour: false, -50 * 365 * 24 * time.Hour: false,
	} {
		w := newWorld(t)
		w.away = away
		r := w.call()
		if accepted {
			w.mustAccept(away.String(), r)
			continue
		}
		refusal := w.mustRefuse(away.String(), r, "created must be within 30 s")
		want := min(max(away, -maxSkewTold*time.Second), maxSkewTold*time.Second)
		if refusal.Skew != want || refusal.Challenge == "" {
			t.Errorf("%v: skew %v, challenge %q", away, refusal.Skew, refusal.Challenge)
		}
	}
}

func TestReceiverIsAskedFor(t *testing.T) {
	w := newWorld(t)
	r := request(t, "POST", "/x", "")
	if err := w.sender.Sign(r, nil, keyIDOf(w.own)+"/0", ""); err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	w.receiver.Ask(header, w.mustRefuse("no start number", r, "vera-receiver is another"))
	name, challenge, err := Asked(header, keyIDOf(w.own))
	if name != w.receiver.Name() || challenge != "" || err != nil {
		t.Errorf("asked for %q, %q, %v", name, challenge, err)
	}
	if _, _, err := Asked(header, w.keyID); err == nil {
		t.Error("the name of another peer is taken")
	}
	for _, bad := range []string{"", keyIDOf(w.own), keyIDOf(w.own) + "/", keyIDOf(w.own) + "/0123456789abcdeF", keyIDOf(w.own) + "/0123456789abcdef0"} {
		if _, _, err := Asked(http.Header{"Vera-Receiver": {bad}}, keyIDOf(w.own)); err == nil {
			t.Errorf("%q is taken for a name", bad)
		}
	}
}

func TestSignRefusesWhatCannotBeSigned(t *testing.T) {
	w := newWorld(t)
	for what, change := range map[string]func(r *http.Request){
		"no host":            func(r *http.Request) { r.URL.Host = "" },
		"a user":             func(r *http.Request) { r.URL, _ = r.URL.Parse("https://u:p@h/") },
		"chunks":             func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
		"a trailer":          func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"a field twice":      func(r *http.Request) { r.Header["X"] = []string{"1", "2"} },
		"another Host":       func(r *http.Request) { r.Header.Set("Host", "h") },
		"a line end":         func(r *http.Request) { r.Header.Set("X", "1\n\"vera-proof\": 2") },
		"a name with spaces": func(r *http.Request) { r.Header["X Y"] = []string{"1"} },
		"a name in no form":  func(r *http.Request) { r.Header["x-y"] = []string{"1"} },
	} {
		r := request(t, "POST", "/x", "b")
		change(r)
		if err := w.sender.Sign(r, []byte("b"), w.receiver.Name(), ""); err == nil {
			t.Errorf("%s: is signed", what)
		}
	}
	r := request(t, "POST", "/x", "b")
	if err := w.sender.Sign(r, []byte("b"), w.receiver.Name(), "", "Vera-Proof"); err == nil {
		t.Error("a field that must be covered and is not there: is signed")
	}
}

func TestKeyIDs(t *testing.T) {
	w := newWorld(t)
	if k, err := ParseKeyID(w.keyID); err != nil || KeyID(k) != w.keyID || len(w.keyID) != 43 {
		t.Error(w.keyID, err)
	}
	last := w.keyID[:42]
	for _, bad := range []string{"", w.keyID[:42], w.keyID + "A", w.keyID + "=", last + "+", last + "\n", last + "=",
		last + "B", "\n" + w.keyID[1:], strings.Repeat("é", 21) + "A"} {
		if _, err := ParseKeyID(bad); err == nil {
			t.Errorf("%q is taken for a key id", bad)
		}
	}
}
