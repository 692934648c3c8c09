package route

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/wire"
)

// FindAction returns the route by which a request calls an action: that of its version, if
// the version defines one of the action's routes, or the first route of the service. An
// action without a route cannot be called from outside.
func (t *Table) FindAction(in *exchange.Request, service, action string) (*Route, *exchange.Failure) {
	var version *versionTable
	if in.Version != "" {
		if version = t.versions[in.Version]; version == nil {
			return nil, exchange.Fail(wire.CodeNotFound, fmt.Sprintf("there is no version %.64q", in.Version))
		}
	}
	r, known := t.actions[service+" "+action], t.Services[service]
	switch {
	case r == nil && known == nil:
		return nil, exchange.Fail(wire.CodeNotFound, fmt.Sprintf("there is no service %.64q", service))
	case r == nil && !known.Live():
		return nil, exchange.Unavailable("no worker of " + service + " is running")
	case r == nil:
		return nil, exchange.Fail(wire.CodeNotSupported, fmt.Sprintf("%s has no action %.64q with a route", service, action))
	case version == nil:
		return r, nil
	}
	for _, pattern := range r.Action.Routes {
		if composed := version.plans[shapeOf(pattern)]; composed != nil {
			return composed, nil
		}
	}
	return r, nil
}

// shapeOf returns a pattern without the names of its parameters.
func shapeOf(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i, segment := range segments {
		if strings.HasPrefix(segment, ":") {
			segments[i] = ":"
		}
	}
	return strings.Join(segments, "/")
}

// BindArgs checks positional arguments, a JSON array or nothing, as Bind does, and returns
// them as a JSON array.
func (r *Route) BindArgs(array jsontext.Value) (string, *exchange.Failure) {
	var values []jsontext.Value
	if len(array) > 0 {
		// A lone surrogate, \ud800, passes as it does in a body.
		if err := json.Unmarshal(array, &values, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)); err != nil || array.Kind() != '[' {
			return "", exchange.BadRequest(exchange.Problem{Field: "args", Problem: "want an array"})
		}
	}
	args, problems := r.bindArgs(values, r.arguments)
	for _, variant := range r.variants {
		if len(problems) > 0 {
			break
		}
		_, problems = r.bindArgs(values, variant)
	}
	if len(problems) > 0 {
		return "", exchange.BadRequest(problems...)
	}
	return args, nil
}

// bindArgs binds positional arguments to the declaration of one build.
func (r *Route) bindArgs(values []jsontext.Value, declared *arguments) (string, []exchange.Problem) {
	most := len(declared.path)
	if declared.object != nil {
		most++
	}
	if len(values) > most {
		return "", []exchange.Problem{{Field: "args", Problem: fmt.Sprintf("%s takes at most %d arguments, not %d", r.Action.Name, most, len(values))}}
	}
	dst := []byte{'['}
	var problems []exchange.Problem
	add := func(text []byte) {
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, text...)
	}
	for i := range declared.path {
		v := &declared.path[i]
		if i >= len(values) {
			problems = append(problems, exchange.Problem{Field: v.name, Problem: "is missing"})
			continue
		}
		text, problem := v.bindJSON(values[i])
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		add(text)
	}
	object, more := r.bindLast(values, declared)
	if problems = append(problems, more...); len(problems) > 0 {
		return "", problems
	}
	if len(object) > 0 {
		add(object)
	}
	if r.Plan != nil && len(r.Plan.Args.Headers) > 0 {
		if len(object) == 0 {
			add([]byte("{}"))
		}
		add([]byte("{}")) // a message has no headers
	}
	return string(append(dst, ']')), nil
}

// bindLast checks the argument that a REST call takes from the body or the query.
func (r *Route) bindLast(values []jsontext.Value, declared *arguments) ([]byte, []exchange.Problem) {
	o := declared.object
	if o == nil {
		return nil, nil
	}
	if len(values) <= len(declared.path) {
		if r.object == wire.InQuery && len(o.required) == 0 {
			return nil, nil
		}
		return nil, o.checkBody(map[string]any{})
	}
	last := values[len(values)-1]
	_ = last.Compact(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) // its syntax has been checked
	value, wrong := readJSON(string(last))
	if wrong != nil {
		return nil, []exchange.Problem{*wrong}
	}
	problems := o.checkBody(value)
	if len(problems) == 0 {
		problems = o.checkIntegers(string(last))
	}
	if r.object == wire.InQuery && string(last) == "{}" {
		return nil, problems // as a request without a query: both have the same cache entry
	}
	return last, problems
}

// bindJSON checks a value that a REST call takes from the path, and returns its JSON: the
// same bytes as for the REST call.
func (v *value) bindJSON(text jsontext.Value) ([]byte, *exchange.Problem) {
	if v.bare && kindOf(v.types) == "integer" && text.Kind() == '0' { // the usual argument
		if _, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return text, nil
		}
	}
	var parsed any
	if err := json.Unmarshal(text, &parsed, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, &exchange.Problem{Field: v.name, Problem: "malformed"}
	}
	if kindOf(v.types) == "integer" {
		if _, err := parseAs("integer", string(text)); err != nil || text.Kind() != '0' {
			return nil, &exchange.Problem{Field: v.name, Problem: fmt.Sprintf("not an integer: %.40s", text)}
		}
	}
	if err := v.validate(parsed); err != nil {
		wrong := problem(v.name, err)
		return nil, &wrong
	}
	if s, isText := parsed.(string); isText && utf8.ValidString(s) {
		return appendJSON(nil, s), nil
	}
	_ = text.Compact()
	return text, nil
}
