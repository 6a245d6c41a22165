package sign

import (
	"bufio"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// The key test-key-ed25519 of RFC 9421, appendix B.1.4, as in its JWK.
const (
	vectorSeed   = "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"
	vectorPublic = "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"
)

func vectorKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	seed, err := plain.DecodeString(vectorSeed)
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	if KeyID(key.Public().(ed25519.PublicKey)) != vectorPublic {
		t.Fatal("the public key is not that of the vectors")
	}
	return key
}

// read parses a request as a server does. Lines end with \n here.
func read(t *testing.T, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkVector says whether a signature of a request verifies, and looks
// whether the base is the expected one and whether we would sign it the same.
func checkVector(t *testing.T, r *http.Request, components []string, parameters, signature, wantBase string) bool {
	t.Helper()
	key := vectorKey(t)
	base, err := received(r).base(components, parameters)
	if err != nil {
		t.Fatal(err)
	}
	if wantBase != "" && string(base) != wantBase {
		t.Errorf("base is\n%s\nmust be\n%s", base, wantBase)
	}
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	holds := ed25519.Verify(key.Public().(ed25519.PublicKey), base, raw)
	if same := base64.StdEncoding.EncodeToString(ed25519.Sign(key, base)) == signature; same != holds {
		t.Errorf("signed by us: the same %v; verified: %v", same, holds)
	}
	return holds
}

// RFC 9421, appendix B.2.6: signing a request using ed25519.
func TestVectorOfAppendixB26(t *testing.T) {
	r := read(t, `POST /foo?param=Value&Pet=dog HTTP/1.1
Host: example.com
Date: Tue, 20 Apr 2021 02:07:55 GMT
Content-Type: application/json
Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
Content-Length: 18

{"hello": "world"}`)
	r.Header.Del("Content-Length") // net/http may do so: the request's own field counts
	parameters := `("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`
	base := `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ` + parameters
	components := []string{"date", "@method", "@path", "@authority", "content-type", "content-length"}
	const signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
	if !checkVector(t, r, components, parameters, signature, base) {
		t.Error("does not verify")
	}
}

// transformed are the requests of RFC 9421, appendix B.4, without the fields of
// the signature, which are the same in all of them.
var transformed = map[string]struct {
	text  string
	holds bool
}{
	"as signed": {`GET /demo?name1=Value1&Name2=value2 HTTP/1.1
Host: example.org
Date: Fri, 15 Jul 2022 14:24:55 GMT
Accept: application/json
Accept: */*

`, true},
	"a field and a parameter added": {`GET /demo?name1=Value1&Name2=value2&param=added HTTP/1.1
Host: example.org
Date: Fri, 15 Jul 2022 14:24:55 GMT
Accept: application/json
Accept: */*
Accept-Language: en-US,en;q=0.5

`, true},
	"Date gone, Referer added, Accept on one line": {`GET /demo?name1=Value1&Name2=value2 HTTP/1.1
Host: example.org
Referer: https://developer.example.org/demo
Accept: application/json, */*

`, true},
	"fields in another order": {`GET /demo?name1=Value1&Name2=value2 HTTP/1.1
Accept: application/json
Accept: */*
Date: Fri, 15 Jul 2022 14:24:55 GMT
Host: example.org

`, true},
	"another method and authority": {`POST /demo?name1=Value1&Name2=value2 HTTP/1.1
Host: example.com
Date: Fri, 15 Jul 2022 14:24:55 GMT
Accept: application/json
Accept: */*

`, false},
	"lines of one field swapped": {`GET /demo?name1=Value1&Name2=value2 HTTP/1.1
Host: example.org
Date: Fri, 15 Jul 2022 14:24:55 GMT
Accept: */*
Accept: application/json

`, false},
}

// RFC 9421, appendix B.4: a signed request, and what a proxy may do to it.
func TestVectorsOfAppendixB4(t *testing.T) {
	parameters := `("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`
	base := `"@method": GET
"@path": /demo
"@authority": example.org
"accept": application/json, */*
"@signature-params": ` + parameters
	const signature = "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA=="
	components := []string{"@method", "@path", "@authority", "accept"}
	for name, c := range transformed {
		want := ""
		if c.holds {
			want = base
		}
		if holds := checkVector(t, read(t, c.text), components, parameters, signature, want); holds != c.holds {
			t.Errorf("%s: verifies: %v, must be %v", name, holds, c.holds)
		}
	}
}

// RFC 9421, sections 2.2.1 to 2.2.7: derived components.
func TestVectorsOfDerivedComponents(t *testing.T) {
	r := read(t, "POST /path?param=value&foo=bar&baz=bat%2Dman HTTP/1.1\nHost: WWW.example.com:443\n\n")
	for name, want := range map[string]string{
		"@method":         "POST",
		"@scheme":         "https",
		"@authority":      "www.example.com",
		"@path":           "/path",
		"@query":          "?param=value&foo=bar&baz=bat%2Dman",
		"@request-target": "/path?param=value&foo=bar&baz=bat%2Dman",
		"@target-uri":     "https://WWW.example.com:443/path?param=value&foo=bar&baz=bat%2Dman",
	} {
		if got, err := received(r).component(name); got != want || err != nil {
			t.Errorf("%s is %q, %v; must be %q", name, got, err, want)
		}
	}
	if got, err := received(read(t, "GET /path HTTP/1.1\nHost: a\n\n")).component("@query"); got != "?" || err != nil {
		t.Errorf("@query of none is %q, %v", got, err)
	}
}

// The sha-256 digests of RFC 9530, appendices B.1 (whole), B.2 (none) and B.3
// (a part), and the one of RFC 9421's request.
func TestVectorsOfContentDigest(t *testing.T) {
	for body, want := range map[string]string{
		"{\"hello\": \"world\"}\n": "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
		"":                         "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
		"\"world\"}\n":             "sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:",
		"{\"hello\": \"world\"}":   "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
	} {
		if got := digest([]byte(body)); got != want {
			t.Errorf("digest of %q is %s, must be %s", body, got, want)
		}
	}
}
