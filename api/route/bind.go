package route

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// Bind returns the arguments of a request as a JSON array, or a BAD_REQUEST failure that
// lists every problem. Where live builds declare different arguments, the request has to
// fit all of them: any worker may read it.
func (r *Route) Bind(c *fiber.Ctx, in *exchange.Request, params []string) (string, *exchange.Failure) {
	args, f := r.bind(c, in, params, r.arguments)
	for _, variant := range r.variants {
		if f != nil {
			break
		}
		var other string
		if other, f = r.bind(c, in, params, variant); f == nil && other != args {
			f = exchange.Unavailable("the live builds of " + r.Service + " disagree about the arguments of " + r.Pattern)
		}
	}
	return args, f
}

// bind binds a request to the arguments of one build.
func (r *Route) bind(c *fiber.Ctx, in *exchange.Request, params []string, declared *arguments) (string, *exchange.Failure) {
	dst := append(make([]byte, 0, 32+len(in.Body)), '[')
	dst, problems := declared.appendPath(dst, params)
	object, more, f := r.bindObject(c, in, declared.object)
	if f != nil {
		return "", f
	}
	if problems = append(problems, more...); len(problems) > 0 {
		return "", exchange.BadRequest(problems...)
	}
	if object != "" {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, object...)
	}
	if r.Plan != nil && len(r.Plan.Args.Headers) > 0 {
		dst = appendHeaders(dst, c, r.Plan.Args.Headers, object == "")
	}
	return string(append(dst, ']')), nil
}

// appendHeaders appends the headers that a plan uses. They follow the object: without one
// it appends an empty object first.
func appendHeaders(dst []byte, c *fiber.Ctx, names []string, noObject bool) []byte {
	sent := make(map[string]string)
	for _, name := range names {
		if value := c.Get(name); value != "" && utf8.ValidString(value) {
			sent[name] = value
		}
	}
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	if noObject {
		dst = append(dst, "{},"...)
	}
	return appendJSON(dst, sent)
}

// bindObject returns the last argument, from the body or the query; empty: there is none.
func (r *Route) bindObject(c *fiber.Ctx, in *exchange.Request, o *object) (string, []exchange.Problem, *exchange.Failure) {
	if r.object == wire.InQuery {
		if o == nil {
			return "", nil, nil
		}
		if in.Query == "" && len(o.required) == 0 {
			return "", nil, nil
		}
		query, err := url.ParseQuery(in.Query)
		if err != nil {
			return "", []exchange.Problem{{Field: "query", Problem: "not valid percent-encoding"}}, nil
		}
		values, problems := o.fromQuery(query)
		if len(values) == 0 || len(problems) > 0 {
			return "", problems, nil
		}
		return string(appendJSON(nil, values)), nil, nil
	}
	if len(in.Body) == 0 {
		if o == nil {
			return "", nil, nil
		}
		return "", o.checkBody(map[string]any{}), nil
	}
	if f := checkMediaType(c); f != nil {
		return "", nil, f
	}
	return checkObject(in.Body, o)
}

// checkMediaType refuses a body that is not unencoded JSON in UTF-8.
func checkMediaType(c *fiber.Ctx) *exchange.Failure {
	if c.Get(fiber.HeaderContentEncoding) != "" {
		return exchange.Fail(wire.CodeUnsupportedMedia, "an encoded body is not accepted: leave out Content-Encoding")
	}
	media, parameters, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	isJSON := media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
	if media != "" && !isJSON {
		return exchange.Fail(wire.CodeUnsupportedMedia, "the body has to be JSON, with Content-Type: application/json")
	}
	if name, charset, _ := strings.Cut(parameters, "="); strings.EqualFold(strings.TrimSpace(name), "charset") && !isUTF8(charset) {
		return exchange.Fail(wire.CodeUnsupportedMedia, "JSON is UTF-8: leave out the charset")
	}
	return nil
}

// isUTF8 reports whether a charset is UTF-8 or its subset ASCII.
func isUTF8(charset string) bool {
	charset, _, _ = strings.Cut(charset, ";")
	charset = strings.ToLower(strings.Trim(strings.TrimSpace(charset), `"`))
	return charset == "utf-8" || charset == "utf8" || charset == "us-ascii"
}

// checkObject checks a body against the object of an action; nil: the action takes none.
func checkObject(body string, o *object) (string, []exchange.Problem, *exchange.Failure) {
	if !utf8.ValidString(body) {
		return "", []exchange.Problem{{Field: "body", Problem: "not UTF-8"}}, nil
	}
	value, wrong := readJSON(body)
	if wrong != nil {
		return "", []exchange.Problem{*wrong}, nil
	}
	if o != nil {
		problems := o.checkBody(value)
		if len(problems) == 0 {
			problems = o.checkIntegers(body)
		}
		return body, problems, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return "", []exchange.Problem{{Field: "body", Problem: "this action takes no body"}}, nil
	}
	var problems []exchange.Problem
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		problems = append(problems, exchange.Problem{Field: name, Problem: "is not a field of this action"})
	}
	return "", problems, nil
}
