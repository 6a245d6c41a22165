package ws

import (
	"math"
	"net/url"
	"strconv"
	"time"

	"vera"
)

// query is the query of a URL. Names that nobody asks for are ignored.
type query url.Values

func itoa(n int) string { return strconv.Itoa(n) }

// parseQuery reads the query strictly.
func (v *visit) parseQuery() error {
	values, err := url.ParseQuery(v.r.URL.RawQuery)
	if err != nil {
		return vera.Errorf(vera.InvalidParameter, "query: %v", err)
	}
	v.query = query(values)
	return nil
}

// one returns the only value of a parameter, and whether there is one.
func (q query) one(name string) (string, bool, error) {
	switch values := q[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, vera.Errorf(vera.InvalidParameter, "%s: once only", name)
}

// number reads an integer from 0 to most.
func (q query) number(name string, absent, most uint64) (uint64, error) {
	text, given, err := q.one(name)
	if !given {
		return absent, err
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, vera.Errorf(vera.InvalidParameter, "%s: an integer from 0 to %d", name, most)
	}
	return n, nil
}

// limit reads how many items are wanted. A limit beyond what any list can
// hold is taken for that.
func (q query) limit() (int, error) {
	const none = math.MaxUint64
	n, err := q.number("limit", none, none)
	if err != nil || n == none {
		return vera.NoLimit, err
	}
	return int(min(n, math.MaxInt32)), nil
}

func (q query) boolean(name string, absent bool) (bool, error) {
	switch text, given, err := q.one(name); {
	case !given:
		return absent, err
	case text == "true", text == "false":
		return text == "true", nil
	}
	return false, vera.Errorf(vera.InvalidParameter, "%s: true or false", name)
}

// millis reads whole milliseconds.
func (q query) millis(name string, absent, least, most time.Duration) (time.Duration, error) {
	text, given, err := q.one(name)
	if !given {
		return absent, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least.Milliseconds() || n > most.Milliseconds() {
		return 0, vera.Errorf(vera.InvalidParameter, "%s: an integer from %d to %d", name, least.Milliseconds(), most.Milliseconds())
	}
	return time.Duration(n) * time.Millisecond, nil
}

// wait reads how long a long poll may take.
func (q query) wait(most time.Duration) (time.Duration, error) {
	text, given, err := q.one("wait")
	if !given {
		return 0, err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		return 0, vera.Errorf(vera.InvalidParameter, "wait: a time such as 30s, from 0s to %v", most)
	}
	return d, nil
}

// label reads which of the sessions under one cookie is meant.
func (q query) label() (string, error) {
	const most = 64
	text, given, err := q.one("client")
	if !given {
		return "", err
	}
	for i := range len(text) {
		c := text[i]
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '.' || c == '_' || c == '-') {
			text = ""
			break
		}
	}
	if text == "" || len(text) > most {
		return "", vera.Errorf(vera.InvalidParameter, "client: 1 to %d of A-Z a-z 0-9 . _ -", most)
	}
	return text, nil
}
