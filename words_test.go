package vera

import (
	"strings"
	"testing"
	"time"
)

func TestCodesHaveTheirStatus(t *testing.T) {
	statuses := []struct {
		code   Code
		status int
	}{
		{"OK", 200}, {"InvalidParameter", 400}, {"Forbidden", 403}, {"NotFound", 404}, {"PreconditionFailed", 412},
		{"TooLarge", 413}, {"TooManyRequests", 429}, {"InternalError", 500}, {"Unavailable", 503}, {"SessionEnded", 409},
	}
	codes := Codes()
	if len(codes) != len(statuses) {
		t.Fatalf("%d codes, want %d", len(codes), len(statuses))
	}
	for i, want := range statuses {
		if codes[i] != want.code || want.code.Status() != want.status {
			t.Errorf("code %d is %s with status %d, want %s with %d", i, codes[i], codes[i].Status(), want.code, want.status)
		}
	}
	if s := Code("Other").Status(); s != 500 {
		t.Errorf("an unknown code has status %d", s)
	}
}

func TestCodesThatEndAConnectionHaveTheirCloseCode(t *testing.T) {
	for code, want := range map[Code]CloseCode{OK: 1000, TooLarge: 1009, Unavailable: 1013, SessionEnded: 4000, Forbidden: 4003} {
		if got := code.Close(); got != want {
			t.Errorf("%s closes with %d, want %d", code, got, want)
		}
	}
	for _, code := range append(Codes(), "Other") {
		if c := code.Close(); c < 1000 || c == CloseEmpty || c > 4999 {
			t.Errorf("%s closes with %d, which may not be sent", code, c)
		}
	}
}

func TestSessionOfTellsSecretsAndLabelsApart(t *testing.T) {
	secret, other := []byte("0123456789abcdef"), []byte("0123456789abcdeg")
	seen := map[SessionID]string{}
	for name, id := range map[string]SessionID{
		"no label": SessionOf(secret, ""), "label": SessionOf(secret, "a"), "other label": SessionOf(secret, "b"),
		"other secret": SessionOf(other, ""), "other secret and label": SessionOf(other, "a"),
	} {
		if was, twice := seen[id]; twice {
			t.Errorf("%s and %s are one session", was, name)
		}
		seen[id] = name
	}
	// Cookies outlive a peer's program, so the id of a secret must not change.
	if got := SessionOf(secret, "tab-1").String(); got != "y408d369besk2t5x3h9969s56r" {
		t.Errorf("the session of this secret is %s now", got)
	}
}

func TestSessionIDsComeBack(t *testing.T) {
	for i := range 256 {
		id := SessionOf([]byte{byte(i)}, "")
		shown := id.String()
		if len(shown) != 26 || strings.Trim(shown, sessionAlphabet) != "" {
			t.Errorf("shown as %q", shown)
		}
		if back, err := ParseSessionID(shown); err != nil || back != id {
			t.Errorf("%s came back as %s, %v", shown, back, err)
		}
	}
}

func TestParseSessionIDTakesOnlyWhatStringWrote(t *testing.T) {
	good := SessionID{1, 2, 3}.String()
	for _, bad := range []string{
		"", good[1:], good + "0", strings.ToUpper(good[:25]) + "Z", "i" + good[1:], good[:25] + "1",
		good[:13] + "\n" + good[13:], good[:13] + "\r\n" + good[13:], " " + good, good + "=", good[:24] + "é",
	} {
		if id, err := ParseSessionID(bad); err == nil {
			t.Errorf("%q is taken for %s", bad, id)
		}
	}
}

func TestReasonsHaveTheirWord(t *testing.T) {
	for reason, want := range map[Reason]string{Stays: "", Closed: "closed", Expired: "expired", Removed: "removed", Ended: "ended"} {
		if reason.String() != want {
			t.Errorf("reason %d is %q, want %q", reason, reason, want)
		}
	}
}

func TestDefaultLimitsAreThoseOfTheProtocol(t *testing.T) {
	l := DefaultLimits(1000)
	for name, c := range map[string]struct{ got, want int }{
		"message": {l.Message, 262_144}, "data": {l.Data, 65_536}, "path": {l.Path, 1024}, "segments": {l.Segments, 32},
		"depth": {l.Depth, 32}, "rid": {l.RID, 128}, "once": {l.Once, 128}, "once keys": {OnceKeys, 1024},
		"items of a session": {l.SessionItems, 10_000}, "items of a list": {l.ListItems, 100_000},
		"watches": {l.SessionWatches, 1000}, "connections of a session": {l.SessionConnections, 100},
		"connections": {l.Connections, 900}, "connections of an address": {l.AddressConnections, 0},
		"rate": {l.Rate, 20_000}, "in flight": {l.InFlight, 1024}, "outbox": {l.Outbox, 1_048_576},
		"head": {l.Head, 16_384}, "lines": {l.Lines, 100},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	for name, c := range map[string]struct{ got, want time.Duration }{
		"head": {l.HeadFor, 5 * time.Second}, "rest": {l.RestFor, 10 * time.Second}, "leader": {l.Leader, 5 * time.Second},
		"wait": {l.Wait, 55 * time.Second}, "stuck": {l.Stuck, 30 * time.Second},
		"grace": {l.DefaultGrace, 2 * time.Second}, "max grace": {l.Grace, 10 * time.Minute}, "failover grace": {l.FailoverGrace, 10 * time.Second},
		"heartbeat": {l.Heartbeat, 10 * time.Second}, "min heartbeat": {l.MinHeartbeat, 250 * time.Millisecond},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
}

func TestErrorNamesItsCode(t *testing.T) {
	if got := Errorf(TooLarge, "data: %d bytes", 7).Error(); got != "TooLarge: data: 7 bytes" {
		t.Error(got)
	}
}
