package test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"vera"
)

// vectorText is a text of the vectors: a string, or an array of pieces.
type vectorText string

// UnmarshalJSON reads either form; what is not UTF-8 is written in hex.
func (v *vectorText) UnmarshalJSON(raw []byte) error {
	var whole string
	if err := json.Unmarshal(raw, &whole); err == nil {
		*v = vectorText(whole)
		return nil
	}
	var pieces []json.RawMessage
	if err := json.Unmarshal(raw, &pieces); err != nil {
		return err
	}
	for _, piece := range pieces {
		var made struct {
			Repeat string
			Times  int
			Hex    string
		}
		if err := json.Unmarshal(piece, &whole); err == nil {
			*v += vectorText(whole)
			continue
		}
		if err := json.Unmarshal(piece, &made); err != nil {
			return err
		}
		octets, err := hex.DecodeString(made.Hex)
		if err != nil {
			return err
		}
		*v += vectorText(strings.Repeat(made.Repeat, made.Times) + string(octets))
	}
	return nil
}

// requestVector is one row of vectors/requests.json that is refused.
type requestVector struct {
	Name    string
	Message vectorText
	Refused *struct {
		Code  vera.Code
		Names string
		Says  string
		RID   vectorText
	}
}

func TestWhatIsSaidWronglyIsRefusedAndTheConnectionStays(t *testing.T) {
	t.Parallel()
	var vectors []requestVector
	if err := json.Unmarshal([]byte(read(t, "vectors/requests.json")), &vectors); err != nil {
		t.Fatal(err)
	}
	c, tried := speak(t, shared(t), ""), 0
	for _, v := range vectors {
		if v.Refused == nil || !utf8.ValidString(string(v.Message)) { // the latter ends a connection with 1007
			continue
		}
		tried++
		r := c.ask(string(v.Message))
		if r.Code != v.Refused.Code || string(r.RID) != string(v.Refused.RID) || !strings.HasPrefix(r.Message, v.Refused.Names+":") || !strings.Contains(r.Message, v.Refused.Says) {
			t.Errorf("%s: said %.80s, heard %s", v.Name, v.Message, r.raw)
		}
		if r := c.ask(`{"rid":"still here","action":"ping"}`); r.Code != vera.OK || string(r.RID) != `"still here"` {
			t.Fatalf("after %s: %s", v.Name, r.raw)
		}
	}
	if tried < 80 {
		t.Errorf("only %d vectors were tried", tried)
	}
}

func TestWhatIsValidIsTaken(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := speak(t, p, "")
	for _, rid := range []string{`0`, `-7`, `12345678901234567890`, `""`, `"\u0041\n"`, `"` + strings.Repeat("r", 128) + `"`} {
		if r := c.ask(`{"rid":` + rid + `,"action":"ping"}`); r.Code != vera.OK || string(r.RID) != rid {
			t.Errorf("rid %s: %s", rid, r.raw)
		}
	}
	if r := c.ask(`{"action":"ping"}`); r.Code != vera.OK || r.RID != nil {
		t.Errorf("without a rid: %s", r.raw)
	}
	if r := c.ask(`{"rid":1,"action":"ping","nonsense":{"a":[1]},"Action":"push"}`); r.Code != vera.OK {
		t.Errorf("unknown fields are ignored: %s", r.raw)
	}
	for n, data := range []string{
		`{}`, `{"a":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`, `{"__proto__":1}`, `{"a":"<img onerror>"}`, `{"a":1e999}`, `{"a":-0.0}`,
	} {
		list := fmt.Sprint(path, "/", n)
		r := c.ask(fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":%s}`, list, data))
		if r.Code != vera.OK || len(r.Items) != 1 || string(r.Items[0].Data) != data {
			t.Errorf("pushed %s: %s", data, r.raw)
		}
	}
	// A lone surrogate is either refused or kept as it is.
	lone := `{"a":"\ud800"}`
	r := c.ask(fmt.Sprintf(`{"rid":1,"action":"push","path":"%s/lone","data":%s}`, path, lone))
	if r.Code != vera.InvalidParameter && !(r.Code == vera.OK && string(r.Items[0].Data) == lone) {
		t.Errorf("a lone surrogate: %s", r.raw)
	}
	for _, odd := range []string{"/data/ä/日本", "/data/%2f", "/data/a b", "/data/...", "/data/" + strings.Repeat("a/", 31) + "a", "/data/<script>"} {
		if r := c.ask(fmt.Sprintf(`{"rid":1,"action":"push","path":%q,"data":{}}`, odd)); r.Code != vera.OK {
			t.Errorf("path %s: %s", odd, r.raw)
		}
	}
}

func TestTheSameRidTwiceIsTwoItems(t *testing.T) {
	t.Parallel()
	p, path := shared(t), here(t)
	c := speak(t, p, "")
	for n := range 2 {
		if r := c.ask(fmt.Sprintf(`{"rid":"same","action":"push","path":%q,"data":{}}`, path)); len(r.Items) != n+1 {
			t.Errorf("push %d: %s", n, r.raw)
		}
	}
}
