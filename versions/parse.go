package versions

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/types"

	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

// Parse reads a versions file (YAML) and checks it against the manifests of the services,
// unless services is nil. It returns all faults, in the order of the file. The file is nil
// if one of them is not a warning.
func Parse(text []byte, services registry.Snapshot) (*File, Faults) {
	var faults Faults
	r := &reader{faults: &faults}
	file := r.file(readYAML(text, &faults))
	if services != nil && file != nil { // also an incomplete file
		faults = append(faults, file.Check(services)...)
	}
	if faults.Fatal() {
		return nil, faults.sorted()
	}
	return file, faults.sorted()
}

// reader reads the nodes of a versions file as versions, routes and steps. It goes on after
// a fault, to report all of them.
type reader struct {
	faults *Faults
	values int // that value has made
}

// fault reports an error at a node; nil stands for the begin of the file.
func (r *reader) fault(n *node, format string, args ...any) {
	at := position{1, 1}
	if n != nil {
		at = n.at
	}
	r.faults.add(at, format, args...)
}

func (r *reader) file(root *node) *File {
	if root == nil {
		return nil
	}
	file := &File{}
	top := r.fields(root, "the file", "versions")
	if top["versions"] == nil {
		r.fault(root, "versions: is missing")
		return nil
	}
	for _, pair := range r.pairs(top["versions"], "versions") {
		file.Versions = append(file.Versions, r.version(pair.key, pair.value))
	}
	return file
}

func (r *reader) version(key, node *node) *Version {
	v := &Version{Name: key.text, at: key.at}
	if !regexp.MustCompile(`^v[1-9][0-9]{0,3}$`).MatchString(v.Name) {
		r.fault(key, "version %q: want v1, v2 and so on", v.Name)
	}
	if node.isNull() {
		return v // it has no routes of its own
	}
	fields := r.fields(node, "a version", "deprecated", "sunset", "routes")
	v.Retirement = r.retirement(fields, Retirement{})
	if fields["routes"] == nil || fields["routes"].isNull() {
		return v
	}
	seen := make(map[string]string)
	for _, pair := range r.pairs(fields["routes"], "routes") {
		p := r.plan(v, pair.key, pair.value)
		shape := p.Method + " " + regexp.MustCompile(`:[^/]+`).ReplaceAllString(p.Path, ":")
		if other, twice := seen[shape]; twice {
			r.fault(pair.key, "route %s is the same as %s", pair.key.text, other)
		}
		seen[shape] = pair.key.text
		v.Plans = append(v.Plans, p)
	}
	return v
}

// retirement reads the dates of a version or a route. A missing date is that of around.
func (r *reader) retirement(fields map[string]*node, around Retirement) Retirement {
	at := func(name string, otherwise time.Time) time.Time {
		node := fields[name]
		if node == nil {
			return otherwise
		}
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, node.text); err == nil {
				return t
			}
		}
		r.fault(node, "%s: want a date such as 2027-06-30, or a time such as 2027-06-30T12:00:00Z", name)
		return time.Time{}
	}
	t := Retirement{Deprecated: at("deprecated", around.Deprecated), Sunset: at("sunset", around.Sunset)}
	if own := cmp.Or(fields["sunset"], fields["deprecated"]); own != nil && !t.Sunset.IsZero() && t.Sunset.Before(t.Deprecated) {
		r.fault(own, "sunset comes before deprecated")
	}
	return t
}

func routePattern() *regexp.Regexp {
	return regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) (/[a-z][a-z0-9-]*(?:/(?::[a-z_][a-z0-9_]*|[A-Za-z0-9._~-]+))*)$`)
}

func (r *reader) plan(v *Version, key, node *node) *Plan {
	found := routePattern().FindStringSubmatch(key.text)
	if found == nil {
		r.fault(key, "route %q: want a method and a path, as in POST /payments or GET /users/:id", key.text)
		method, path, _ := strings.Cut(key.text, " ")
		found = []string{key.text, method, path} // go on: the rest may have faults too
	}
	p := &Plan{Version: v.Name, Method: found[1], Path: found[2], Timeout: DefaultTimeout, at: key.at}
	if strings.Count(p.Path, "/") > MaxSegments {
		r.fault(key, "route %q: want %d segments at most", key.text, MaxSegments)
	}
	fields := r.fields(node, "a route", "summary", "deprecated", "sunset", "timeout", "path", "query", "body", "headers", "scopes", "steps", "result", "answer")
	p.Summary = r.text(fields["summary"])
	p.Retirement = r.retirement(fields, v.Retirement)
	if n := fields["timeout"]; n != nil {
		d, err := time.ParseDuration(n.text)
		if err != nil || d < time.Millisecond || d > wire.StepStore {
			r.fault(n, "timeout %q: want a time such as 10s, from 1ms to %dh", n.text, int(wire.StepStore.Hours()))
		}
		p.Timeout = d
	}
	p.Args.Headers = r.headers(fields["headers"])
	if n := fields["scopes"]; n != nil {
		p.Scopes = []string{}
		for _, item := range r.items(n, "scopes") {
			if err := wire.CheckScope(item.text); err != nil {
				r.fault(item, "%v", err)
			}
			p.Scopes = append(p.Scopes, item.text)
		}
	}
	env := r.input(p, fields)
	r.steps(p, fields, node, env)
	if err := p.seal(r.plain(node)); err != nil {
		r.fault(node, "%v", err)
	}
	return p
}

// headers reads the names of the headers that expressions may use.
func (r *reader) headers(node *node) []string {
	var names []string
	for _, item := range r.items(node, "headers") {
		name := strings.ToLower(item.text)
		if !regexp.MustCompile(`^[a-z0-9-]{1,64}$`).MatchString(name) || slices.Contains([]string{"authorization", "proxy-authorization", "cookie", "x-api-key"}, name) {
			r.fault(item, "header %q: want the name of one that holds no credential", item.text)
		}
		names = append(names, name)
	}
	return names
}

// input reads the schemas of path, query, body and headers. It returns their types.
func (r *reader) input(p *Plan, fields map[string]*node) types.Map {
	env := types.Map{
		"path": types.Any, "query": types.Any, "body": types.Any,
		"version":   types.String,
		"principal": types.Map{"subject": types.String, "tenant": types.String, "scopes": types.Array(types.String)},
	}
	schemas := make(map[string]map[string]any)
	if n := fields["path"]; n != nil {
		for _, pair := range r.pairs(n, "path") {
			schemas[pair.key.text] = r.schema(pair.value)
			if !strings.Contains(p.Path+"/", "/:"+pair.key.text+"/") {
				r.fault(pair.key, "%s has no parameter :%s", p.Path, pair.key.text)
			}
		}
	}
	path := types.Map{}
	for segment := range strings.SplitSeq(p.Path, "/") {
		name, is := strings.CutPrefix(segment, ":")
		if !is {
			continue
		}
		if path[name] != nil {
			r.faults.add(p.at, "%s has the parameter :%s twice", p.Path, name)
			continue
		}
		schema := schemas[name]
		if schema == nil {
			schema = map[string]any{"type": "string"}
		}
		path[name] = typeOf(schema)
		p.Args.Parameters = append(p.Args.Parameters, wire.Argument{Name: name, In: wire.InPath, Schema: asJSON(schema)})
	}
	env["path"] = path
	in, other := wire.InBody, wire.InQuery
	if p.Method == http.MethodGet || p.Method == http.MethodDelete {
		in, other = other, in
	}
	if n := fields[other]; n != nil {
		r.fault(n, "a %s has no %s here", p.Method, other)
	}
	schema := map[string]any{"type": "object"}
	if n := fields[in]; n != nil {
		if schema = r.schema(n); schema["type"] != "object" {
			r.fault(n, "%s: want a schema of type object", in)
		}
	}
	env[in] = typeOf(schema)
	if _, refers := schema["$ref"]; in == wire.InQuery && !refers {
		env[in] = declared(schema)
	}
	delete(env, other)
	p.Args.Object = &wire.Argument{Name: in, In: in, Schema: asJSON(schema)}
	headers := types.Map{}
	for _, name := range p.Args.Headers {
		headers[name] = types.String
	}
	env["headers"] = headers
	return env
}

func asJSON(schema map[string]any) json.RawMessage {
	text, _ := json.Marshal(schema) // cannot fail: it comes from YAML
	return text
}

// steps reads the steps, the result and the answer of a plan.
func (r *reader) steps(p *Plan, fields map[string]*node, node *node, env types.Map) {
	if fields["steps"] == nil {
		r.fault(node, "steps: is missing")
		return
	}
	p.Args.types = maps.Clone(env)
	last := ""
	for _, item := range r.items(fields["steps"], "steps") {
		stage := Stage{}
		if together := item.child("together"); together != nil {
			r.fields(item, "steps that run together", "together")
			if len(together.items) == 0 {
				r.fault(together, "together: want a list of steps")
			}
			for _, one := range r.items(together, "together") {
				stage = append(stage, r.step(one, env))
			}
		} else {
			stage = append(stage, r.step(item, env))
		}
		for _, s := range stage { // later steps may use them
			switch {
			case s.Refusal != nil || s.Name == "":
			case env[s.Name] != nil:
				r.faults.add(s.at, "the name %q is taken; give the step another by name:", s.Name)
			default:
				env[s.Name], last = types.Any, s.Name
			}
		}
		p.Stages = append(p.Stages, stage)
	}
	if last == "" {
		r.fault(fields["steps"], "no step calls a service")
		return
	}
	p.output.step = last
	if n := fields["answer"]; n != nil {
		if p.output.step = n.text; !slices.ContainsFunc(p.Steps(), func(s *Step) bool { return s.Name == p.output.step }) {
			r.fault(n, "answer: there is no step %q", n.text)
			return
		}
	}
	p.output.result = r.expression(fields["result"], p.output.step, env, false)
	p.mark()
}

func (r *reader) step(node *node, env types.Map) *Step {
	s := &Step{at: node.at}
	fields := r.fields(node, "a step", "name", "call", "args", "when", "refuse")
	if n := fields["when"]; n != nil {
		s.when = r.expression(n, "", env, true)
	}
	call, refuse := fields["call"], fields["refuse"]
	switch {
	case (call == nil) == (refuse == nil):
		r.fault(node, "a step has either call: or refuse:")
		return s
	case refuse != nil:
		s.Refusal = r.refusal(refuse, fields)
		return s
	}
	var ok bool
	if s.Service, s.Action, ok = strings.Cut(call.text, " "); !ok || wire.CheckServiceName(s.Service) != nil ||
		!regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`).MatchString(s.Action) {
		r.fault(call, "call: want a service and an action, as in users GET_USER")
		s.Service = "" // Check skips it
	}
	s.at = call.at
	s.Name = strings.ToLower(s.Action)
	if n := fields["name"]; n != nil {
		s.Name = n.text
		s.at = n.at
	}
	switch {
	case !ok && s.Name == "":
	case !regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`).MatchString(s.Name):
		r.fault(node, "step %q: want a name of lower-case letters, digits and underscores", s.Name)
		s.Name = ""
	case !isName(s.Name):
		r.fault(node, "step %q: expressions mean something else by that; give the step another by name:", s.Name)
		s.Name = ""
	}
	for _, item := range r.items(fields["args"], "args") {
		s.args = append(s.args, r.expression(item, "", env, false)) // nil if it has a fault
	}
	return s
}

// refusal reads the refusal of a step, which may have neither a name nor arguments.
func (r *reader) refusal(node *node, step map[string]*node) *Refusal {
	for _, name := range []string{"name", "args"} {
		if n := step[name]; n != nil {
			r.fault(n, "a step that refuses calls no service: it has no %s", name)
		}
	}
	fields := r.fields(node, "refuse", "code", "status", "message")
	f := &Refusal{Code: r.text(fields["code"]), Message: r.text(fields["message"])}
	if !regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`).MatchString(f.Code) {
		r.fault(node, "refuse: want a code such as NOT_SUPPORTED")
	}
	if n := fields["status"]; n != nil {
		status, _ := n.value.(uint64) // 0: another type
		f.Status = int(min(status, math.MaxInt32))
	}
	if f.Status < http.StatusBadRequest || f.Status > 599 {
		r.fault(node, "refuse: want a status from 400 to 599")
	}
	if f.Message == "" {
		r.fault(node, "refuse: want a message")
	}
	return f
}

// expression compiles a scalar, or the text of otherwise if there is no node.
func (r *reader) expression(node *node, otherwise string, env types.Map, wantBool bool) *expression {
	text := otherwise
	if node != nil {
		if node.kind != scalar {
			r.fault(node, "want an expression")
			return nil
		}
		text, node.value = node.text, node.text // as it is written, also in the source of the plan
	}
	e, err := compile(text, env, wantBool)
	if err != nil {
		r.fault(node, "%s: %v", text, err)
		return nil
	}
	if node != nil {
		e.at = node.at
	}
	return e
}
