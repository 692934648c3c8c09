package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// SizeRule bounds what goes through one route.
type SizeRule struct {
	// Route is "METHOD /path/:parameter", as a service declares it.
	Route string
	// Request is the largest body, in bytes, above or below Config.BodyLimit;
	// Response the largest envelope. 0: as everywhere.
	Request, Response int
}

// ParseSize reads "METHOD /path [request=SIZE] [response=SIZE]", sizes in bytes or
// with KiB or MiB behind them.
func ParseSize(text string) (SizeRule, error) {
	fault := func(why error) (SizeRule, error) { return SizeRule{}, fmt.Errorf("size limit %q: %w", text, why) }
	words := strings.Fields(text)
	if len(words) < 3 {
		return fault(errors.New(`want "METHOD /path request=SIZE response=SIZE", or one of the two`))
	}
	r := SizeRule{}
	var err error
	if r.Route, err = parseRoute(words[0], words[1]); err != nil {
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

// sizesOf are the bounds of a route; nil: none of its own.
func (s *Server) sizesOf(r *route) *SizeRule {
	if r == nil {
		return nil
	}
	return s.sizes[r.pattern]
}

// sized is called when the headers of a request have been read, before its body.
// Of a request that will be refused whatever is in it no body is read: see onError.
func (s *Server) sized(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if s.bodiless(h) != nil {
		return fasthttp.RequestConfig{MaxRequestBodySize: 1}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: s.bodyLimit(h)}
}

// bodiless refuses a request by its headers alone: it is hostile, or of a stranger
// where nobody is let in without a credential.
// Of chunks it says nothing: when they fail, the HTTP library forgets the headers.
func (s *Server) bodiless(h *fasthttp.RequestHeader) *failure {
	if h.ContentLength() <= 0 {
		return nil
	}
	if f := refuseHostile(h); f != nil {
		return f
	}
	if s.cfg.Auth != AuthRequired {
		return nil
	}
	_, found, f := credentialOf(h)
	if f == nil && !found {
		f = noCredential()
	}
	return f
}

// bodyLimit is how long the body of a request may be.
func (s *Server) bodyLimit(h *fasthttp.RequestHeader) int {
	if len(s.sizes) == 0 {
		return s.cfg.BodyLimit
	}
	uri := fasthttp.AcquireURI() // as the call itself is read later: a path, or a whole URI
	defer fasthttp.ReleaseURI(uri)
	if uri.Parse(h.Host(), h.RequestURI()) != nil {
		return s.cfg.BodyLimit
	}
	if segments, ok := split(string(uri.PathOriginal())); ok {
		r, _, _, _ := s.table.Load().find(&call{method: string(h.Method())}, segments)
		if own := s.sizesOf(r); own != nil && own.Request > 0 {
			return own.Request
		}
	}
	return s.cfg.BodyLimit
}

// errTooLong says that an answer is longer than its route may give.
var errTooLong = errors.New("the answer is too long")

// fits reports an answer that is longer than its route may give. It has been
// made all the same.
func (s *Server) fits(in *call, r *route, envelope string) error {
	own := s.sizesOf(r)
	if own == nil || own.Response == 0 || len(envelope) <= own.Response {
		return nil
	}
	s.log.Error("an answer is larger than its route may give", "service", r.service, "action", r.action.Name,
		"request", in.id, "bytes", len(envelope), "limit", own.Response)
	return errTooLong
}
