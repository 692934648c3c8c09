package edge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oskadev/mailroom/api/exchange"
)

// SizeRule bounds the messages of one route.
type SizeRule struct {
	// Route is "METHOD /path/:parameter", as a service declares it.
	Route string
	// Request is the maximum size of a body, in bytes, above or below Config.BodyLimit.
	// Defaults to Config.BodyLimit.
	Request int
	// Response is the maximum size of an envelope, in bytes. Defaults to no limit.
	Response int
}

// ParseSize parses "METHOD /path [request=SIZE] [response=SIZE]". A size is a number of
// bytes, or a number followed by KiB or MiB, up to 1 GiB.
func ParseSize(text string) (SizeRule, error) {
	fault := func(why error) (SizeRule, error) { return SizeRule{}, fmt.Errorf("size limit %q: %w", text, why) }
	words := strings.Fields(text)
	if len(words) < 3 {
		return fault(errors.New(`want "METHOD /path request=SIZE response=SIZE", or one of the two`))
	}
	r := SizeRule{}
	var err error
	if r.Route, err = exchange.ParseRoute(words[0], words[1]); err != nil {
		return fault(err)
	}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		size, err := parseSize(value)
		if err != nil {
			return fault(err)
		}
		switch name {
		case "request":
			r.Request = size
		case "response":
			r.Response = size
		default:
			return fault(fmt.Errorf("%q is neither request nor response", name))
		}
	}
	return r, nil
}

func parseSize(text string) (int, error) {
	number, unit := text, 1
	for name, size := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if before, found := strings.CutSuffix(text, name); found {
			number, unit = before, size
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 1<<30/unit {
		return 0, fmt.Errorf("size %q: want a number of bytes, KiB or MiB, up to 1 GiB", text)
	}
	return n * unit, nil
}

// sizes holds the rules by route.
type sizes map[string]*SizeRule

func newSizes(rules []SizeRule) sizes {
	s := make(sizes, len(rules))
	for i := range rules {
		s[rules[i].Route] = &rules[i]
	}
	return s
}

// request returns the maximum size of a body of a route, in bytes; 0: no rule.
func (s sizes) request(pattern string) int {
	if own := s[pattern]; own != nil {
		return own.Request
	}
	return 0
}

// response returns the maximum size of an envelope of a route, in bytes; 0: no rule.
func (s sizes) response(pattern string) int {
	if own := s[pattern]; own != nil {
		return own.Response
	}
	return 0
}
