package head

import (
	"bytes"
	"strings"

	"vera"
)

// Refusal says why a head is not served, and how to answer it.
type Refusal struct {
	Status int // of HTTP
	Err    *vera.Error
	Old    bool // a WebSocket was asked for by HTTP/1.0: a proxy in between must be set right
}

// Error returns the error's text.
func (r *Refusal) Error() string { return r.Err.Error() }

func refuse(status int, format string, args ...any) *Refusal {
	code := vera.InvalidParameter
	if status == 431 {
		code = vera.TooLarge
	}
	return &Refusal{Status: status, Err: vera.Errorf(code, format, args...)}
}

// Head is what Check found out.
type Head struct {
	Method string
	Path   string // of the target, percent-encoded as it was sent
	Old    bool   // HTTP/1.0
	Body   bool   // a body follows, which nobody wants
}

// End returns the length of the head that buffer begins with, its empty line
// included, or 0 when it is not whole yet. The first from bytes were looked at
// before. A line that ends without a carriage return is refused.
func End(buffer []byte, from int) (int, *Refusal) {
	for {
		n := bytes.IndexByte(buffer[from:], '\n')
		if n < 0 {
			return 0, nil
		}
		from += n + 1
		line := buffer[:from]
		if len(line) < 2 || line[len(line)-2] != '\r' {
			return 0, refuse(400, "head: a line must end in carriage return and line feed")
		}
		if bytes.HasSuffix(line, []byte("\r\n\r\n")) {
			return from, nil
		}
	}
}

// IsTLS says whether the bytes, of which there is one at least, begin as a
// TLS record with a handshake does.
func IsTLS(buffer []byte) bool { return buffer[0] == 0x16 }

// Check looks at a whole head, as it came.
func Check(raw []byte, l *vera.Limits) (Head, *Refusal) {
	if len(raw) > l.Head {
		return Head{}, TooLong(l)
	}
	first, lines, _ := bytes.Cut(raw[:len(raw)-4], []byte("\r\n"))
	h, refusal := requestLine(first)
	if refusal != nil {
		return Head{}, refusal
	}
	var s seen
	for line := range bytes.SplitSeq(lines, []byte("\r\n")) {
		if len(lines) == 0 {
			break
		}
		if s.lines++; s.lines > l.Lines {
			return h, refuse(431, "head: more than %d lines", l.Lines)
		}
		if refusal := s.line(line); refusal != nil {
			return h, refusal
		}
	}
	return h, s.judge(&h)
}

// TooLong refuses a head that passed its limit before it ended.
func TooLong(l *vera.Limits) *Refusal {
	return refuse(431, "head: more than %d bytes", l.Head)
}

// requestLine takes the first line apart.
func requestLine(line []byte) (h Head, refusal *Refusal) {
	method, rest, ok1 := strings.Cut(string(line), " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !isToken(method) || strings.Contains(version, " ") {
		return h, refuse(400, "head: the first line is a method, a target and a version")
	}
	switch version {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.Old = true
	default:
		if strings.HasPrefix(version, "HTTP/") {
			return h, refuse(505, "head: HTTP/1.1 is spoken here")
		}
		return h, refuse(400, "head: the first line is a method, a target and a version")
	}
	path, _, _ := strings.Cut(target, "?")
	switch {
	case !strings.HasPrefix(target, "/"):
		return h, refuse(400, "target: begins with a slash")
	case strings.ContainsFunc(target, isControl) || strings.Contains(target, "#"):
		return h, refuse(400, "target: has a control character or a #")
	case !isEncoded(path):
		return h, refuse(400, "path: two hexadecimal digits must follow each %%")
	}
	h.Method, h.Path = method, path
	return h, nil
}

// seen is what the header lines so far had.
type seen struct {
	lines                   int
	hosts, origins, keys    int
	lengths, codings        int
	versions, expectations  int
	length                  bool // a Content-Length that is not 0
	upgrade, badHost, badCL bool
}

// line looks at one header line.
func (s *seen) line(line []byte) *Refusal {
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		return refuse(400, "head: a folded line")
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(string(name)) {
		return refuse(400, "head: a line is a name, a colon and a value")
	}
	value = bytes.Trim(value, " \t")
	if bytes.ContainsFunc(value, func(r rune) bool { return isControl(r) && r != '\t' && r != ' ' }) {
		return refuse(400, "head: %s has a control character", name)
	}
	switch strings.ToLower(string(name)) {
	case "host":
		s.hosts++
		s.badHost = !isHost(string(value))
	case "origin":
		s.origins++
	case "sec-websocket-key":
		s.keys++
	case "sec-websocket-version":
		s.versions++
	case "upgrade":
		s.upgrade = true
	case "expect":
		s.expectations++
	case "transfer-encoding":
		s.codings++
	case "content-length":
		s.lengths++
		s.length = strings.Trim(string(value), "0") != ""
		s.badCL = len(value) == 0 || strings.Trim(string(value), "0123456789") != ""
	}
	return nil
}

// judge looks at all lines together.
func (s *seen) judge(h *Head) *Refusal {
	h.Body = s.length || s.codings > 0
	switch {
	case s.hosts != 1 || s.badHost:
		return refuse(400, "Host: exactly one host name, with or without a port")
	case s.lengths > 1 || s.badCL:
		return refuse(400, "Content-Length: one number at most")
	case s.lengths > 0 && s.codings > 0:
		return refuse(400, "Content-Length: not together with Transfer-Encoding")
	case s.origins > 1:
		return refuse(400, "Origin: one at most")
	case s.keys > 1 || s.versions > 1:
		return refuse(400, "Sec-WebSocket-Key, Sec-WebSocket-Version: one each")
	case s.expectations > 0:
		return refuse(400, "Expect: nothing can be expected here")
	case h.Old && (s.upgrade || h.Path == "/connect"):
		r := refuse(505, "a WebSocket needs HTTP/1.1: a proxy in between speaks HTTP/1.0")
		r.Old = true
		return r
	case h.Body && (h.Method == "GET" || h.Method == "HEAD" || h.Method == "OPTIONS"):
		return refuse(400, "%s: has no body", h.Method)
	}
	return nil
}

// WithoutBody returns the head without the lines that announce a body.
func WithoutBody(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for line := range bytes.SplitAfterSeq(raw, []byte("\r\n")) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch strings.ToLower(string(name)) {
		case "content-length", "transfer-encoding", "trailer":
		default:
			out = append(out, line...)
		}
	}
	return out
}

// isToken says whether s is a token as RFC 9110 section 5.6.2 has it.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isHost says whether s can be a host with or without a port.
func isHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("-._:[]", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isEncoded says whether each percent sign begins an encoded byte.
func isEncoded(path string) bool {
	for i := range len(path) {
		if path[i] == '%' && (i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2])) {
			return false
		}
	}
	return true
}

func isControl(r rune) bool { return r <= ' ' || r == 0x7f }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
