package exchange

import "strings"

// NamesETag reports whether If-None-Match names an ETag, by weak comparison (RFC 9110,
// section 13.1.2).
func NamesETag(header, etag string) bool {
	if header == "" {
		return false
	}
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}
