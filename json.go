package vera

import "unicode/utf8"

// compact appends a valid JSON value without the space between its tokens.
// Nothing else changes.
func compact(dst, valid []byte) []byte {
	quoted, start := false, 0
	for i := 0; i < len(valid); i++ {
		switch c := valid[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\': // stands in strings only
			i++
		case c <= ' ' && !quoted:
			dst = append(dst, valid[start:i]...)
			start = i + 1
		}
	}
	return append(dst, valid[start:]...)
}

// depth returns how deep objects and arrays are nested in a valid JSON value,
// or in the beginning of one.
func depth(valid []byte) int {
	quoted, open, deepest := false, 0, 0
	for i := 0; i < len(valid); i++ {
		switch c := valid[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case quoted:
		case c == '{' || c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}' || c == ']':
			open--
		}
	}
	return deepest
}

// appendString appends text as a JSON string that may also stand in a page or
// a script: < > & and the line separators U+2028 and U+2029 are escaped. Bytes
// that are not UTF-8 become U+FFFD.
func appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	written := 0
	for i, r := range text {
		if !mustEscape(r) {
			continue
		}
		dst = appendEscape(append(dst, text[written:i]...), r)
		_, size := utf8.DecodeRuneInString(text[i:])
		written = i + size
	}
	return append(append(dst, text[written:]...), '"')
}

// mustEscape holds for utf8.RuneError too, which stands for a byte that is not
// UTF-8.
func mustEscape(r rune) bool {
	switch r {
	case '"', '\\', '<', '>', '&', 0x7f, '\u2028', '\u2029', utf8.RuneError:
		return true
	}
	return r < ' '
}

// appendEscape appends the escape of one rune below U+10000.
func appendEscape(dst []byte, r rune) []byte {
	const lowerHex = "0123456789abcdef"
	if r == '"' || r == '\\' {
		return append(dst, '\\', byte(r))
	}
	return append(dst, '\\', 'u', lowerHex[r>>12&15], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
}
