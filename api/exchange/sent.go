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
			all |= ifNamed(line, "pragma:", SentCacheControl)
		case len("traceparent"):
			all |= ifNamed(line, "traceparent:", sentTrace)
		case len("x-request-id"):
			all |= ifNamed(line, "x-request-id:", sentRequestID)
		case len("cache-control"): // and of if-none-match
			all |= ifNamed(line, "cache-control:", SentCacheControl) | ifNamed(line, "if-none-match:", SentIfNoneMatch)
		}
	}
	return all
}

func ifNamed(line []byte, name string, which sent) sent {
	if HasName(line, name) {
		return which
	}
	return 0
}

// HasName reports whether a header line begins with a name, in any case.
func HasName(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
