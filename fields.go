package vera

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// set reads one field that the action uses into the request.
func (p *parser) set(r *Request, f fields) (err error) {
	raw := p.values[f.index()]
	switch f {
	case fieldPath:
		r.Path, err = p.path(raw, r.Action)
	case fieldVersion:
		r.Version, err = parseIndex(f, raw)
	case fieldIfMatch:
		r.IfMatch, err = parseETag(f, raw)
		r.Conditional = true
	case fieldOnce:
		r.Once, err = p.once(raw)
	case fieldLimit:
		r.Limit, err = parseLimit(f, raw)
	case fieldItems:
		r.Items, err = parseBool(f, raw)
	case fieldConsistent:
		r.Consistent, err = parseBool(f, raw)
	case fieldMinIndex:
		r.MinIndex, err = parseIndex(f, raw)
	case fieldSince:
		r.Since, err = parseIndex(f, raw)
	case fieldData:
		r.Data, err = p.data(raw)
	}
	return err
}

// rid returns a copy of a well-formed rid.
func (p *parser) rid() ([]byte, error) {
	raw := p.values[fieldRID.index()]
	text, ok := unquote(raw)
	if !ok {
		text, ok = raw, isInteger(raw)
	}
	if !ok || len(text) > p.limits.RID {
		return nil, Errorf(InvalidParameter, "rid: a string or an integer of at most %d bytes", p.limits.RID)
	}
	return bytes.Clone(raw), nil
}

func (p *parser) path(raw []byte, a Action) (Path, error) {
	text, ok := unquote(raw)
	if !ok {
		return "", Errorf(InvalidParameter, "path: a string")
	}
	path, err := ParsePath(string(text), p.limits)
	if err == nil && path == PeersPath && (a == ActionPush || a == ActionUpdate || a == ActionRemove) {
		return "", Errorf(InvalidParameter, "path: %s can be read and watched, nothing else", PeersPath)
	}
	return path, err
}

func (p *parser) once(raw []byte) (string, error) {
	text, ok := unquote(raw)
	if !ok || len(text) == 0 || len(text) > p.limits.Once {
		return "", Errorf(InvalidParameter, "once: a string of 1 to %d bytes", p.limits.Once)
	}
	return string(text), nil
}

func (p *parser) data(raw []byte) ([]byte, error) {
	if raw[0] != '{' {
		return nil, Errorf(InvalidParameter, "data: a JSON object")
	}
	data := compact(make([]byte, 0, len(raw)), raw)
	if len(data) > p.limits.Data {
		return nil, Errorf(TooLarge, "data: %d bytes; the limit is %d", len(data), p.limits.Data)
	}
	return data, nil
}

func parseBool(f fields, raw []byte) (bool, error) {
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, Errorf(InvalidParameter, "%s: true or false", fieldNames[f.index()])
}

func parseIndex(f fields, raw []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		return 0, Errorf(InvalidParameter, "%s: an integer from 0 to %d", fieldNames[f.index()], uint64(math.MaxUint64))
	}
	return n, nil
}

// parseLimit takes a limit beyond what any list can hold for that.
func parseLimit(f fields, raw []byte) (int, error) {
	n, err := parseIndex(f, raw)
	return int(min(n, math.MaxInt32)), err
}

// parseETag reads an etag as answers have it.
func parseETag(f fields, raw []byte) (uint64, error) {
	text, ok := unquote(raw)
	n, err := strconv.ParseUint(string(text), 10, 64)
	if !ok || err != nil || len(text) > 1 && text[0] == '0' {
		return 0, Errorf(InvalidParameter, "%s: an etag, which is a string of decimal digits", fieldNames[f.index()])
	}
	return n, nil
}

// isInteger says of a valid JSON value whether it is a number without a
// fraction and an exponent.
func isInteger(valid []byte) bool {
	return (valid[0] == '-' || isDigit(valid[0])) && !bytes.ContainsAny(valid, ".eE")
}

// unquote returns the text of a valid JSON string, which may lie in valid; false
// when it is another value or none.
func unquote(valid []byte) ([]byte, bool) {
	if len(valid) == 0 || valid[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(valid, '\\') < 0 {
		return valid[1 : len(valid)-1], true
	}
	text, err := jsontext.AppendUnquote(nil, valid)
	return text, err == nil
}
