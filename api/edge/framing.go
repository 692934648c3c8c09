package edge

import (
	"bytes"
	"errors"
	"strconv"
)

// framing follows the messages of one connection in the bytes that arrive, before the HTTP
// library parses them. It refuses what two parties could read differently, which request
// smuggling relies on (RFC 9112, sections 2.2, 3.2, 5 and 7.1), and removes trailers: the HTTP
// library would treat them as headers.
//
// The library never gets the line feed of a refused line, so it cannot act on it.
type framing struct {
	state   framingState
	left    int64  // bytes of a body or chunk that follow
	partial []byte // the beginning of a line whose rest has not arrived
	fault   string // why the connection is refused; empty: it is not

	// Of the current message:
	seen    seenHeaders
	length  int64 // Content-Length
	extras  int   // bytes of chunk extensions and trailers
	chunked bool
	// upgrade is set behind a request for a WebSocket, until it is known whether the
	// connection is one. held are the bytes that arrived behind it.
	upgrade bool
	held    []byte
}

// framingState says which line comes next.
type framingState uint8

const (
	inStart framingState = iota // the request line
	inHeaders
	inChunks // the size of a chunk
	inTrailers
)

// Bounds of chunked bodies.
const (
	maxSizeDigits = 16
	maxExtension  = 256
	maxChunkLine  = maxSizeDigits + maxExtension + len("\r\n")
	maxExtras     = 4 << 10 // of all extensions of a body
	maxTrailers   = 8 << 10
)

// errFraming is the error of a Read behind a refused line.
var errFraming = errors.New("the message is refused by its form")

// pass follows bytes that arrived and returns how many of them the HTTP library gets. It
// moves them to the front where it removes a trailer.
func (f *framing) pass(p []byte) int {
	kept, at := 0, 0
	keep := func(n int) {
		if kept != at {
			copy(p[kept:], p[at:at+n])
		}
		kept, at = kept+n, at+n
	}
	for at < len(p) {
		switch {
		case f.left > 0:
			n := int(min(f.left, int64(len(p)-at)))
			f.left -= int64(n)
			keep(n)
			continue
		case f.upgrade:
			f.held = bytes.Clone(p[at:])
			return kept
		}
		piece := p[at:]
		end := bytes.IndexByte(piece, '\n')
		if end < 0 {
			f.wait(piece)
			if f.state != inTrailers || string(f.partial) == "\r" {
				keep(len(piece))
			}
			return kept
		}
		piece = piece[:end+1]
		line := piece
		if len(f.partial) > 0 {
			f.partial = append(f.partial, piece...)
			line = f.partial
		}
		removed := f.state == inTrailers && string(line) != "\r\n"
		f.fault = f.line(line)
		f.partial = f.partial[:0]
		switch {
		case f.fault != "" && removed:
			return kept
		case f.fault != "":
			keep(end)
			return kept
		case removed:
			at += len(piece)
		default:
			keep(len(piece))
		}
	}
	return kept
}

// wait remembers the beginning of a line. The HTTP library bounds the lines of headers.
func (f *framing) wait(piece []byte) {
	f.partial = append(f.partial, piece...)
	switch {
	case f.state == inChunks && len(f.partial) > maxChunkLine:
		f.fault = "a chunk extension is over " + strconv.Itoa(maxExtension) + " bytes"
	case f.state == inTrailers && f.extras+len(f.partial) > maxTrailers:
		f.fault = "the trailers are over " + strconv.Itoa(maxTrailers) + " bytes"
	}
}

// line follows one line with its line feed. It returns why the line is refused, or "".
func (f *framing) line(line []byte) string {
	text, found := bytes.CutSuffix(line, []byte("\r\n"))
	if !found {
		return "a line that ends without CRLF"
	}
	switch f.state {
	case inStart:
		if len(text) > 0 { // empty lines before a request are ignored (RFC 9112, section 2.2)
			f.state, f.seen, f.length, f.extras, f.chunked = inHeaders, 0, 0, 0, false
		}
		return ""
	case inHeaders:
		if len(text) > 0 {
			return f.header(text)
		}
		return f.body()
	case inChunks:
		return f.chunk(text)
	default:
		if len(text) == 0 {
			f.state = inStart
			return ""
		}
		if f.extras += len(line); f.extras > maxTrailers {
			return "the trailers are over " + strconv.Itoa(maxTrailers) + " bytes"
		}
		if hasControls(text) {
			return "a control character in a trailer"
		}
		_, fault := nameOf(text)
		return fault
	}
}

// body follows the end of the headers.
func (f *framing) body() string {
	switch {
	case f.chunked && f.seen&seenLength != 0:
		return "Content-Length together with Transfer-Encoding"
	case f.chunked:
		f.state = inChunks
	default:
		f.state, f.left = inStart, f.length
		f.upgrade = f.seen&seenWebSocket != 0 && f.length == 0
	}
	return ""
}

// chunk follows the line of a chunk's size.
func (f *framing) chunk(text []byte) string {
	digits, extension, extended := bytes.Cut(text, []byte(";"))
	size, err := strconv.ParseUint(string(digits), 16, 63)
	f.extras += len(extension)
	switch {
	case len(digits) > maxSizeDigits || err != nil:
		return "the size of a chunk is not a hexadecimal number"
	case extended && len(extension) >= maxExtension:
		return "a chunk extension is over " + strconv.Itoa(maxExtension) + " bytes"
	case f.extras > maxExtras:
		return "the chunk extensions are over " + strconv.Itoa(maxExtras) + " bytes"
	case hasControls(extension):
		return "a control character in a chunk extension"
	case size == 0:
		f.state, f.extras = inTrailers, 0
	case size > 1<<62:
		return "the size of a chunk is too large"
	default:
		f.left = int64(size) + int64(len("\r\n"))
	}
	return ""
}

// hasControls reports whether a text has a control character other than a tab.
func hasControls(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}
