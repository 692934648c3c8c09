package exchange

import "bytes"

// sent is the set of optional headers that a request has. Most requests have none, and
// looking up each of them takes time.
type sent uint8

const (
	sentRequestID sent = 1 << iota
	sentTrace
	sentCacheControl // or Pragma
	sentIfNoneMatch
)

// sentIn scans the raw header lines. It may report a header that the HTTP library does
// not see, and misses none that it does.
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
			all |= ifNamed(line, "pragma:", sentCacheControl)
		case len("traceparent"):
			all |= ifNamed(line, "traceparent:", sentTrace)
		case len("x-request-id"):
			all |= ifNamed(line, "x-request-id:", sentRequestID)
		case len("cache-control"): // and of if-none-match
			all |= ifNamed(line, "cache-control:", sentCacheControl) | ifNamed(line, "if-none-match:", sentIfNoneMatch)
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

// SentCacheControl reports whether the request has Cache-Control or Pragma.
func (in *Request) SentCacheControl() bool { return in.sent&sentCacheControl != 0 }

// SentIfNoneMatch reports whether the request has If-None-Match.
func (in *Request) SentIfNoneMatch() bool { return in.sent&sentIfNoneMatch != 0 }

// HasName reports whether a header line begins with a name and its colon, in any case.
func HasName(line []byte, name string) bool {
	return len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name))
}
