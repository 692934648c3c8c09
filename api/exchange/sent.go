package exchange

import "bytes"

// sent tells which headers that mean something to the gateway a call came with. Most
// come with none, and to look for each of them takes time.
type sent uint8

const (
	sentRequestID sent = 1 << iota
	sentTrace
	SentCacheControl // or Pragma
	SentIfNoneMatch
)

// sentIn looks through the header lines as they came. It may name one that the HTTP
// library does not know, and leaves none out that it does.
func sentIn(raw []byte) sent {
	var all sent
	for len(raw) > 0 {
		line := raw
		if end := bytes.IndexByte(raw, '\n'); end >= 0 {
			line, raw = raw[:end], raw[end+1:]
		} else {
			raw = nil
		}
		switch bytes.IndexByte(line, ':') {
		case len("pragma"):
			all |= ifBegins(line, "pragma:", SentCacheControl)
		case len("traceparent"):
			all |= ifBegins(line, "traceparent:", sentTrace)
		case len("x-request-id"):
			all |= ifBegins(line, "x-request-id:", sentRequestID)
		case len("cache-control"): // and of if-none-match
			all |= ifBegins(line, "cache-control:", SentCacheControl) | ifBegins(line, "if-none-match:", SentIfNoneMatch)
		}
	}
	return all
}

func ifBegins(line []byte, name string, which sent) sent {
	if Begins(line, name) {
		return which
	}
	return 0
}

// Begins reports whether a header line begins with a name, in any case.
func Begins(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
