package vera

import (
	"unicode/utf8"
)

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

// appendString appends text as a JSON string that may stand in a page or a
// script: < > & and the line separators U+2028 and U+2029 are escaped. What is
// not UTF-8 becomes U+FFFD.
func appendString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7f || c == '<' || c == '>' || c == '&':
			dst = appendEscape(dst, rune(c))
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == '\u2028' || r == '\u2029' {
				dst = appendEscape(dst, r)
			} else {
				dst = utf8.AppendRune(dst, r)
			}
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// appendEscape appends \uXXXX for a rune below U+10000.
func appendEscape(dst []byte, r rune) []byte {
	const lowerHex = "0123456789abcdef"
	return append(dst, '\\', 'u', lowerHex[r>>12&15], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
}
