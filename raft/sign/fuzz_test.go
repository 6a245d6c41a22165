package sign

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// What is read of Signature-Input and Signature is written as it was read, and
// whatever is sent, nothing panics.
func FuzzFields(f *testing.F) {
	w := newWorld(f)
	r := request(f, "POST", "/x", "b")
	w.sign(r, "b")
	components := []string{"@method", "@target-uri", "content-digest", "vera-cluster", "vera-receiver"}
	f.Add(r.Header.Get(fieldInput), r.Header.Get(fieldSignature))
	f.Add(`vera=("@method";req "a");created=1;expires=2`, `vera=:AAAA:, b=:AAAA:`)
	f.Add(`vera=(`, `vera=?1`)
	f.Add(`vera=();nonce=%"a";keyid=@1`, `vera=%"%c3%bc"`)
	f.Fuzz(func(t *testing.T, field, signature string) {
		if in, refusal := parseInput(field, components); refusal == nil && label+"="+in.String() != field {
			t.Errorf("%q is read as %v", field, in)
		}
		if raw, refusal := parseSignature(signature); refusal == nil && spellSignature(raw) != signature {
			t.Errorf("%q is read as %x", signature, raw)
		}
		if _, challenge, err := Asked(http.Header{fieldReceiver: {w.receiver.Name()}, fieldAccept: {field}}, keyIDOf(w.own)); err == nil &&
			challenge != "" && len(challenge) != challengeSize {
			t.Errorf("%q asks for %q", field, challenge)
		}
	})
}

// Nothing but what was signed is accepted, whatever bytes are sent instead.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	call := w.call()
	sent := wire(f, call)
	f.Add(sent)
	stream := request(f, "GET", "/vera/stream/raft", "", "Connection", "Upgrade", "Upgrade", "vera-stream", "Vera-Exporter", "c2Vzc2lvbg")
	w.sign(stream, "")
	f.Add(wire(f, stream))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	originals := [][]byte{sent, wire(f, stream)}
	f.Fuzz(func(t *testing.T, altered []byte) {
		r, body, err := parse(altered)
		if err != nil {
			return
		}
		w.receiver = restarted(w.receiver)
		if _, err := w.receiver.Verify(r, body); err != nil {
			return
		}
		for _, original := range originals {
			if want, wantBody, err := parse(original); err == nil {
				want.Header.Del(fieldLength)
				r.Header.Del(fieldLength)
				if same(r, want, body, wantBody) {
					return
				}
			}
		}
		t.Errorf("accepted:\n%s", altered)
	})
}

// restarted is a Receiver of the same name that has seen nothing.
func restarted(v *Receiver) *Receiver {
	return &Receiver{name: v.name, cluster: v.cluster, now: v.now, began: v.began, secret: v.secret, drawn: counter()}
}

// Whatever a request has, what is signed can be told apart from what another
// request would have signed.
func FuzzBase(f *testing.F) {
	f.Add("POST", "host", "/a", "x", "POST", "host", "/b", "x")
	f.Add("GET", "h", "/", "a\n\"x-b\": c", "GET", "h", "/", "a")
	f.Fuzz(func(t *testing.T, method1, host1, target1, value1, method2, host2, target2, value2 string) {
		components := []string{"@method", "@target-uri", "x-a"}
		of := func(method, host, target, value string) []byte {
			m := message{method, host, "/" + target, 0, http.Header{"X-A": {value}}}
			base, err := m.base(components, "()")
			if err != nil {
				return nil
			}
			return base
		}
		first, second := of(method1, host1, target1, value1), of(method2, host2, target2, value2)
		differ := method1 != method2 || host1+"/"+target1 != host2+"/"+target2 || strings.Trim(value1, " \t") != strings.Trim(value2, " \t")
		if first != nil && bytes.Equal(first, second) && differ {
			t.Errorf("%q is the base of two", first)
		}
	})
}
