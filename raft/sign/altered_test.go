package sign

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// altered counts requests that were changed after, or for, signing.
type altered struct {
	*world
	tried int
}

// refuse has the receiver verify what was sent, and fails the test when it is
// accepted.
func (a *altered) refuse(what string, sent []byte) {
	a.t.Helper()
	a.tried++
	r, body, err := parse(sent)
	if err != nil {
		return // net/http answers it with 400
	}
	if _, err := a.receiver.Verify(r, body); err == nil {
		a.t.Errorf("%s is accepted:\n%s", what, sent)
	}
}

// refuseRequest is refuse for one that is not on the wire yet.
func (a *altered) refuseRequest(what string, r *http.Request) {
	a.t.Helper()
	a.refuse(what, wire(a.t, r))
}

// kinds are signed requests of all kinds, each with the body "greetings" or none.
func (a *altered) kinds() map[string]*http.Request {
	a.away = time.Hour
	challenge := a.challenge()
	challenged := a.challenged(challenge)
	a.away = 0
	stream := request(a.t, "GET", "/vera/stream/raft", "", "Connection", "Upgrade", "Upgrade", "vera-stream", "Vera-Exporter", "c2Vzc2lvbg")
	a.sign(stream, "")
	join := request(a.t, "POST", "/vera/call/join?name=a%20b&x", "greetings", "Vera-Proof", "cHJvb2Y", "Expect", "100-continue", "User-Agent", "vera/0")
	a.sign(join, "greetings")
	empty := request(a.t, "POST", "/", "")
	a.sign(empty, "")
	return map[string]*http.Request{"call": a.call(), "challenged": challenged, "stream": stream, "join": join, "empty": empty}
}

func (a *altered) bodyOf(r *http.Request) string {
	if r.ContentLength > 0 {
		return "greetings"
	}
	return ""
}

// TestAlteredRequestsAreRefused changes signed requests in over 20,000 ways.
// What net/http reads as the very same request (another case of a field's
// name, say) is no change. The requests themselves are accepted in the end,
// so it was the change that was refused.
func TestAlteredRequestsAreRefused(t *testing.T) {
	a := &altered{world: newWorld(t)}
	for name, r := range a.kinds() {
		a.flipBytes(name, wire(t, r))
		a.cutAndDouble(name, wire(t, r))
		a.changeFields(name, r)
		a.changeSignature(name, r)
		a.changeLabels(name, r)
		a.changeBody(name, r)
		a.mustAccept(name+", unaltered", r)
		for range 3 {
			a.refuseRequest(name+" again", r)
		}
	}
	a.elsewhere()
	t.Logf("%d altered requests", a.tried)
	if a.tried < 20_000 {
		t.Errorf("only %d altered requests", a.tried)
	}
}

// flipBytes flips every byte in turn, in five ways.
func (a *altered) flipBytes(name string, sent []byte) {
	original, body, err := parse(sent)
	if err != nil {
		a.t.Fatal(err)
	}
	unchanged := 0
	for i := range sent {
		for _, mask := range []byte{0x01, 0x02, 0x20, 0x80, 0xff} {
			flipped := bytes.Clone(sent)
			flipped[i] ^= mask
			if r, b, err := parse(flipped); err == nil && same(r, original, b, body) {
				unchanged++
				if letter := sent[i] | 0x20; mask != 0x20 || letter < 'a' || letter > 'z' {
					a.t.Errorf("%s: flipped %q with %#x, and the request is the same", name, sent[i], mask)
				}
				continue
			}
			a.refuse(fmt.Sprintf("%s, byte %d flipped with %#x", name, i, mask), flipped)
		}
	}
	names := 0
	for _, field := range append(fieldsOf(original), "Host") {
		names += len(strings.ReplaceAll(field, "-", ""))
	}
	if unchanged != names {
		a.t.Errorf("%s: %d flips changed nothing, with %d letters in names of fields", name, unchanged, names)
	}
}

// cutAndDouble sends parts, and lines twice, gone, or in each other's place.
func (a *altered) cutAndDouble(name string, sent []byte) {
	for i := range sent {
		a.refuse(fmt.Sprintf("%s, cut at %d", name, i), sent[:i])
	}
	head, body, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	send := func(what string, lines []string) {
		a.refuse(name+what, []byte(strings.Join(lines, "\r\n")+"\r\n\r\n"+string(body)))
	}
	for i := 1; i < len(lines); i++ {
		field, value, _ := strings.Cut(lines[i], ": ")
		if field == "Content-Length" {
			if value != "0" { // which is the same as none
				send(", without "+field, slices.Delete(slices.Clone(lines), i, i+1))
			}
			continue // and two of the same are one
		}
		send(", without "+field, slices.Delete(slices.Clone(lines), i, i+1))
		send(", twice "+field, slices.Insert(slices.Clone(lines), i, lines[i]))
		send(", also an empty "+field, slices.Insert(slices.Clone(lines), i, field+": "))
		send(", also another "+field, slices.Insert(slices.Clone(lines), i+1, field+": x"))
		for j := 1; j < len(lines); j++ {
			if other, theirs, _ := strings.Cut(lines[j], ": "); theirs != value {
				swapped := slices.Clone(lines)
				swapped[i], swapped[j] = field+": "+theirs, other+": "+value
				send(", swapped "+field+" and "+other, swapped)
			}
		}
	}
	for _, more := range []string{"X-New: 1", "Cookie: a=b", "Vera-Extra: 1", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
		"Trailer: X", "Content-Length: 1", "Host: other", "Connection: close", "Signature: vera2=:AAAA:", "Repr-Digest: x"} {
		send(", and "+more, append(slices.Clone(lines), more))
	}
}

// changeFields changes what the request line and the fields say.
func (a *altered) changeFields(name string, r *http.Request) {
	for what, change := range map[string]func(r *http.Request){
		"PUT":            func(r *http.Request) { r.Method = "PUT" },
		"another path":   func(r *http.Request) { r.URL.Path = "/vera/call/bye" },
		"a longer path":  func(r *http.Request) { r.URL.Path += "/" },
		"a query":        func(r *http.Request) { r.URL.RawQuery += "&y" },
		"an empty query": func(r *http.Request) { r.URL.RawQuery, r.URL.ForceQuery = "", r.URL.RawQuery == "" },
		"another host":   func(r *http.Request) { r.Host = "10.0.0.8:8373" },
		"another port":   func(r *http.Request) { r.Host = "10.0.0.7" },
	} {
		changed := r.Clone(a.t.Context())
		change(changed)
		a.refuseRequest(name+", "+what, changed)
	}
	sent := string(wire(a.t, r))
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9"} {
		a.refuse(name+", "+proto, []byte(strings.Replace(sent, "HTTP/1.1", proto, 1)))
	}
	a.refuse(name+", absolute", []byte(strings.Replace(sent, " /", " https://10.0.0.7:8373/", 1)))
	for _, field := range fieldsOf(r) {
		for _, value := range []string{"", "x", `""`, r.Header.Get(field) + "x", r.Header.Get(field) + ",", r.Header.Get(field) + " ;a", `vera="` + r.Header.Get(field) + `"`} {
			if value == r.Header.Get(field) {
				continue
			}
			changed := r.Clone(a.t.Context())
			changed.Header.Set(field, value)
			a.refuseRequest(name+", another "+field, changed)
		}
	}
}

// changeSignature changes what Signature-Input says, and signs that.
func (a *altered) changeSignature(name string, r *http.Request) {
	input := r.Header.Get(fieldInput)
	inside, after, _ := strings.Cut(strings.TrimPrefix(input, "vera=("), ")")
	components, parameters := strings.Split(inside, " "), strings.Split(strings.TrimPrefix(after, ";"), ";")
	try := func(what string, key ed25519.PrivateKey, components, parameters []string) {
		a.t.Helper()
		changed := r.Clone(a.t.Context())
		changed.Header.Set(fieldInput, "vera=("+strings.Join(components, " ")+");"+strings.Join(parameters, ";"))
		resign(a.t, changed, key, a.bodyOf(r))
		a.refuseRequest(name+", signed "+what, changed)
	}
	for i := range components {
		try("without "+components[i], a.key, slices.Delete(slices.Clone(components), i, i+1), parameters)
		try("twice "+components[i], a.key, slices.Insert(slices.Clone(components), i, components[i]), parameters)
		swapped := slices.Clone(components)
		j := (i + 1) % len(components)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		try("in another order", a.key, swapped, parameters)
	}
	try("with one more", a.key, append(slices.Clone(components), `"@authority"`), parameters)
	for i := range parameters {
		try("without "+parameters[i], a.key, components, slices.Delete(slices.Clone(parameters), i, i+1))
		try("twice "+parameters[i], a.key, components, slices.Insert(slices.Clone(parameters), i, parameters[i]))
		parameter, value, _ := strings.Cut(parameters[i], "=")
		for _, other := range []string{"", "=", "=1", "=-1", `=""`, `="x"`, "=?1", "=:AAAA:", "=" + value + ".0", "=99999999999999", " =" + value} {
			changed := slices.Clone(parameters)
			changed[i] = parameter + other
			try("with "+changed[i], a.key, components, changed)
		}
	}
	try("with a parameter more", a.key, components, append(slices.Clone(parameters), "x=1"))
	try("by another", a.newKey(), components, parameters)
	for _, algorithm := range []string{"ed448", "hmac-sha256", "rsa-pss-sha512", "rsa-v1_5-sha256", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "none", "Ed25519", "ED25519", "ed25519 ", ""} {
		try("by "+algorithm, a.key, components, replaced(parameters, "alg", `"`+algorithm+`"`))
	}
	created := a.now.Unix()
	for _, life := range []int64{-1000, -30, -1, 0, 31, 1000, 1 << 40} {
		try(fmt.Sprintf("for %d s", life), a.key, components, replaced(parameters, "expires", fmt.Sprint(created+life)))
	}
}

// changeLabels changes the form of the signature's fields.
func (a *altered) changeLabels(name string, r *http.Request) {
	for _, field := range []string{fieldInput, fieldSignature} {
		for _, change := range []func(v string) string{
			func(v string) string { return v + ", " + v },
			func(v string) string { return v + ", other" + strings.TrimPrefix(v, "vera") },
			func(v string) string { return "other" + strings.TrimPrefix(v, "vera") },
			func(v string) string { return "other" + strings.TrimPrefix(v, "vera") + ", " + v },
			func(v string) string { return " " + strings.Replace(v, "=", "= ", 1) },
			func(v string) string { return v + ";x" },
			func(v string) string { return strings.ReplaceAll(v, ";", "; ") },
			func(v string) string { return strings.ReplaceAll(v, "==", "") },
		} {
			if v := change(r.Header.Get(field)); v != r.Header.Get(field) {
				changed := r.Clone(a.t.Context())
				changed.Header.Set(field, v)
				a.refuseRequest(name+", "+field+" "+v, changed)
			}
		}
	}
}

// replaced are parameters of which one has another value.
func replaced(parameters []string, name, value string) []string {
	changed := slices.Clone(parameters)
	for i, p := range changed {
		if strings.HasPrefix(p, name+"=") {
			changed[i] = name + "=" + value
		}
	}
	return changed
}

// changeBody sends other bodies: with the old digest, with theirs, and with
// digests of other kinds, signed.
func (a *altered) changeBody(name string, r *http.Request) {
	original := a.bodyOf(r)
	for _, body := range []string{"", "Greetings", "greetings\n", "greeting", strings.Repeat("greetings", 1000)} {
		if body == original {
			continue
		}
		changed := request(a.t, r.Method, r.URL.RequestURI(), body)
		changed.Header = r.Header.Clone()
		a.refuseRequest(name+", another body", changed)
		changed.Header.Set(fieldDigest, digest([]byte(body)))
		a.refuseRequest(name+", another body with its digest", changed)
	}
	right := r.Header.Get(fieldDigest)
	for _, wrong := range []string{digest([]byte("x")), right + ", " + right, right + ", sha-512=:AAAA:", "sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256", "id-sha-256" + right[7:],
		strings.Replace(right, "=:", ":", 1), strings.Replace(right, "sha-256", "sha256", 1), strings.Replace(right, "=:", "= :", 1), right + ";x=1"} {
		changed := request(a.t, r.Method, r.URL.RequestURI(), original)
		changed.Header = r.Header.Clone()
		changed.Header.Set(fieldDigest, wrong)
		resign(a.t, changed, a.key, original)
		a.refuseRequest(name+", signed with the digest "+wrong, changed)
	}
}

// elsewhere sends requests to other receivers, and by other keys.
func (a *altered) elsewhere() {
	here := a.receiver
	for range 50 {
		r := a.call()
		for _, v := range []*Receiver{a.newReceiver(a.own), a.newReceiver(a.newKey())} {
			a.receiver = v
			a.refuseRequest("elsewhere", r)
			a.receiver = here
		}
		a.cluster = "another"
		a.refuseRequest("in another cluster", r)
		a.cluster = ""
		a.refuseRequest("in no cluster", r)
		a.cluster = "3f9a01bc"
		a.mustAccept("where it belongs", r)

		changed := a.call()
		changed.Header.Set(fieldInput, strings.Replace(changed.Header.Get(fieldInput), a.keyID, keyIDOf(a.newKey()), 1))
		a.refuseRequest("with the name of another", changed)
		resign(a.t, changed, a.key, "greetings")
		a.refuseRequest("signed with the name of another", changed)
	}
}
