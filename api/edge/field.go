package edge

import (
	"bytes"
	"strconv"
	"strings"
)

// seenHeaders is the set of headers of a message that decide how it is read or who sends it.
// None of them may come twice: a proxy could look at the other one.
type seenHeaders uint16

const (
	seenHost seenHeaders = 1 << iota
	seenLength
	seenCoding
	seenType
	seenAuthorization
	seenKey
	seenIdempotencyKey
	seenWebSocket // Upgrade: websocket, which may come twice
)

// nameOf returns the name of a header line, or why the line is refused.
func nameOf(line []byte) (name []byte, fault string) {
	colon := bytes.IndexByte(line, ':')
	switch {
	case line[0] == ' ' || line[0] == '\t':
		return nil, "a header that goes on in the next line"
	case colon < 0:
		return nil, "a header without a colon"
	case colon == 0:
		return nil, "a header without a name"
	case bytes.IndexByte(line[:colon], ' ') >= 0 || bytes.IndexByte(line[:colon], '\t') >= 0:
		return nil, "a space in the name of a header"
	}
	return line[:colon], ""
}

// header follows a header line without its CRLF.
func (f *framing) header(line []byte) string {
	name, fault := nameOf(line)
	if fault != "" {
		return fault
	}
	is := func(want string) bool { return bytes.EqualFold(name, []byte(want)) }
	switch len(name) {
	case len("Host"):
		if is("Host") {
			return f.host(line)
		}
	case len("Upgrade"):
		if is("Upgrade") && bytes.EqualFold(valueOf(line, name), []byte("websocket")) {
			f.seen |= seenWebSocket
		}
	case len("X-Api-Key"):
		if is("X-Api-Key") {
			return f.credential(seenKey)
		}
	case len("Content-Type"):
		if is("Content-Type") {
			return f.once(seenType, "Content-Type")
		}
	case len("Authorization"):
		if is("Authorization") {
			return f.credential(seenAuthorization)
		}
	case len("Content-Length"):
		if is("Content-Length") {
			return f.contentLength(valueOf(line, name))
		}
	case len("Idempotency-Key"):
		if is("Idempotency-Key") {
			return f.once(seenIdempotencyKey, "Idempotency-Key")
		}
	case len("Transfer-Encoding"):
		if is("Transfer-Encoding") {
			return f.coding(valueOf(line, name))
		}
	}
	return ""
}

func valueOf(line, name []byte) []byte { return bytes.Trim(line[len(name)+1:], " \t") }

// once refuses the second header of a name.
func (f *framing) once(which seenHeaders, name string) string {
	if f.seen&which != 0 {
		return "the header " + name + " comes twice"
	}
	f.seen |= which
	return ""
}

// twoCredentials is the fault of a message with the same credential header twice.
const twoCredentials = "more than one credential: send one header Authorization, or one X-API-Key" //nolint:gosec // a message

func (f *framing) credential(which seenHeaders) string {
	if f.once(which, "") != "" {
		return twoCredentials
	}
	return ""
}

func (f *framing) host(line []byte) string {
	value := valueOf(line, line[:len("Host")])
	// The HTTP library refuses an empty one where it is required.
	if len(value) > 0 && !validHost(value) {
		return "the header Host is not a host"
	}
	return f.once(seenHost, "Host")
}

func (f *framing) contentLength(value []byte) string {
	for _, c := range value {
		if c < '0' || c > '9' { // ParseInt accepts signs
			return "Content-Length is not a number"
		}
	}
	var err error
	if f.length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
		return "Content-Length is not a number"
	}
	return f.once(seenLength, "Content-Length")
}

// coding refuses any coding but chunked, which leaves the end of the body open; the HTTP
// library reads "identity" as no body (RFC 9112, sections 6.1 and 6.3). The library refuses
// chunked under HTTP/1.0.
func (f *framing) coding(value []byte) string {
	if !bytes.EqualFold(value, []byte("chunked")) {
		return "a Transfer-Encoding other than chunked"
	}
	f.chunked = true
	return f.once(seenCoding, "Transfer-Encoding")
}

// validHost reports whether a text is a host, with or without a port, and without userinfo
// (RFC 3986, section 3.2). It refuses escapes, and a comma, which some proxies write between two
// hosts.
func validHost(host []byte) bool {
	name, port, marks := host, []byte(nil), "-._~!$&'()*+;="
	if host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < len("[::") || bytes.IndexByte(host[:end], ':') < 0 {
			return false
		}
		name, port, marks = host[1:end], host[end+1:], ":.%"
	} else if colon := bytes.IndexByte(host, ':'); colon >= 0 {
		name, port = host[:colon], host[colon:]
	}
	for _, c := range name {
		if !isAlphanumeric(c) && strings.IndexByte(marks, c) < 0 {
			return false
		}
	}
	return len(name) > 0 && validPort(port)
}

// validPort reports whether a text is empty, or a colon with at most 5 digits.
func validPort(port []byte) bool {
	digits, found := bytes.CutPrefix(port, []byte(":"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) <= 5 && (found || len(port) == 0)
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
