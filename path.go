package vera

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path names a list. It is canonical and decoded: "/data/a/b", or PeersPath.
// Two paths name the same list only when they are the same bytes.
type Path string

// PeersPath names the cluster itself as a list. It can be read and watched.
const PeersPath Path = "/vera/peers"

// dataRoot is what every path of a client's list begins with.
const dataRoot = "/data/"

// ParsePath checks a path as a JSON message has it, where a percent sign is a
// percent sign. It fails with InvalidParameter that names the broken rule.
func ParsePath(text string, l *Limits) (Path, error) {
	if Path(text) == PeersPath {
		return PeersPath, nil
	}
	if len(text) > l.Path {
		return "", Errorf(InvalidParameter, "path: %d bytes; the limit is %d", len(text), l.Path)
	}
	rest, ok := strings.CutPrefix(text, dataRoot)
	if !ok {
		return "", Errorf(InvalidParameter, "path: begins with %s, or is %s", dataRoot, PeersPath)
	}
	if n := strings.Count(rest, "/") + 1; n > l.Segments {
		return "", Errorf(InvalidParameter, "path: %d segments behind /data; the limit is %d", n, l.Segments)
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if broken := brokenRule(segment); broken != "" {
			return "", Errorf(InvalidParameter, "path: %s", broken)
		}
	}
	return Path(text), nil
}

// brokenRule says what is wrong with a segment; nothing when it may stand.
func brokenRule(segment string) string {
	switch {
	case segment == "":
		return "a segment must not be empty, and no slash may stand at the end"
	case segment == "." || segment == "..":
		return "a segment must not be . or .."
	case !utf8.ValidString(segment):
		return "a segment must be UTF-8"
	case strings.ContainsFunc(segment, unicode.IsControl):
		return "a segment must not have control characters"
	}
	return ""
}

// ParseURLPath checks the path of a URL as it was sent. It is percent-decoded
// exactly once; an encoded slash is refused since it would pass for a border
// between segments. It fails with InvalidParameter that names the broken rule.
func ParseURLPath(escaped string, l *Limits) (Path, error) {
	if len(escaped) > 3*l.Path {
		return "", Errorf(InvalidParameter, "path: %d bytes percent-encoded; the limit is %d decoded", len(escaped), l.Path)
	}
	if !strings.Contains(escaped, "%") {
		return ParsePath(escaped, l)
	}
	decoded := make([]byte, 0, len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if i+2 >= len(escaped) || !isHex(escaped[i+1]) || !isHex(escaped[i+2]) {
				return "", Errorf(InvalidParameter, "path: two hexadecimal digits must follow each %%")
			}
			if c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2]); c == '/' {
				return "", Errorf(InvalidParameter, "path: a segment must not have a slash, also percent-encoded")
			}
			i += 2
		}
		decoded = append(decoded, c)
	}
	return ParsePath(string(decoded), l)
}

// URL returns the path percent-encoded: everything but slashes and what RFC
// 3986 section 2.3 calls unreserved. ParseURLPath reads it back.
func (p Path) URL() string {
	const upperHex = "0123456789ABCDEF"
	out := make([]byte, 0, len(p)+16)
	for i := range len(p) {
		if c := p[i]; c == '/' || isUnreserved(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

func isUnreserved(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
