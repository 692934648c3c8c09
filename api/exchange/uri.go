package exchange

import "strings"

// EncodeURI percent-encodes the bytes that a URI cannot have (RFC 3986, section 2), such as
// spaces and letters beyond ASCII. Escapes that are in it already stay.
func EncodeURI(s string) string {
	const hex = "0123456789ABCDEF"
	var dst strings.Builder
	for i := range len(s) {
		if c := s[i]; mayStand(s, i) {
			dst.WriteByte(c)
		} else {
			dst.WriteByte('%')
			dst.WriteByte(hex[c>>4])
			dst.WriteByte(hex[c&15])
		}
	}
	return dst.String()
}

// mayStand reports whether a URI may have the byte at i as it is.
func mayStand(s string, i int) bool {
	switch c := s[i]; {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	case c == '%':
		return i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2])
	default:
		return strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
