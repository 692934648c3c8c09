package openapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/versions"
)

const (
	maxSummary     = 200 // bytes
	maxDescription = 1000
	maxScopes      = 64 // of one action
)

// operation is one method at one path.
type operation struct {
	Tags        []string               `json:"tags"`
	OperationID string                 `json:"operationId"`
	Summary     string                 `json:"summary"`
	Description string                 `json:"description,omitempty"`
	Parameters  []any                  `json:"parameters,omitempty"`
	RequestBody any                    `json:"requestBody,omitempty"`
	Responses   map[string]any         `json:"responses"`
	Deprecated  bool                   `json:"deprecated,omitempty"`
	Security    *[]map[string][]string `json:"security,omitempty"`
}

// subject is what an operation describes.
type subject struct {
	*route.Route

	method string
	tag    string
	name   string   // for components
	params []string // the names in the path
}

// operation describes a route.
func (b *builder) operation(s *subject, id string) *operation {
	action := s.Action
	op := &operation{
		Tags: []string{s.tag}, OperationID: id, Summary: cut(oneLine(action.Summary), maxSummary),
		Deprecated: action.Deprecated, Responses: b.responses(s),
	}
	if op.Summary == "" {
		op.Summary = cut(oneLine(action.Name), maxSummary)
	}
	op.Parameters = b.pathParameters(s)
	switch last := len(s.params); {
	case last >= len(action.Args):
	case s.method == http.MethodGet || s.method == http.MethodDelete:
		op.Parameters = append(op.Parameters, b.query(s, action.Args[last])...)
	default:
		op.RequestBody = b.body(s, action.Args[last])
	}
	op.Parameters = append(op.Parameters, b.headers(s)...)
	op.Security = b.security(action.Scopes)
	b.retire(op, s)
	return op
}

// retire notes when a route of a version, or the version itself, ends.
func (b *builder) retire(op *operation, s *subject) {
	when := b.table.Retirement(b.options.Version)
	if s.Plan != nil {
		when = s.Plan.Retirement
	}
	op.Deprecated = op.Deprecated || !when.Deprecated.IsZero()
	op.Description = cut(strings.TrimSpace(op.Description+" "+retirement(when)), maxDescription)
}

func retirement(when versions.Retirement) string {
	var text []string
	if !when.Deprecated.IsZero() {
		text = append(text, "Deprecated from "+when.Deprecated.UTC().Format(time.RFC3339)+".")
	}
	if !when.Sunset.IsZero() {
		text = append(text, "Removed at "+when.Sunset.UTC().Format(time.RFC3339)+".")
	}
	return strings.Join(text, " ")
}

// oneLine returns a text with a space in place of each run of white space.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// pathParameters describes the parameters of the path.
func (b *builder) pathParameters(s *subject) []any {
	var list []any
	for i, name := range s.params {
		arg := s.Action.Args[i]
		from := b.schemas.read(s.Service, arg.Schema, s.name+pascal(arg.Name))
		list = append(list, parameter(name, "path", true, from.inline(from.root)))
	}
	return list
}

// query describes the fields of an argument that comes from the query.
func (b *builder) query(s *subject, arg wire.Argument) []any {
	from := b.schemas.read(s.Service, arg.Schema, s.name+pascal(arg.Name))
	own := from.object()
	fields, _ := own["properties"].(map[string]any)
	required := uniqueStrings(own["required"], nil)
	var list []any
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		list = append(list, parameter(name, "query", slices.Contains(required, name), from.inline(fields[name])))
	}
	return list
}

// parameter describes a parameter. The description of its schema becomes its own.
func parameter(name, in string, required bool, schema map[string]any) map[string]any {
	made := map[string]any{"name": name, "in": in, "required": required, "schema": schema}
	if description, ok := schema["description"]; ok {
		schema = maps.Clone(schema)
		delete(schema, "description")
		made["description"], made["schema"] = description, schema
	}
	return made
}

// headers describes the headers that a request may have.
func (b *builder) headers(s *subject) []any {
	list := []any{refer("parameters", "RequestId")}
	if !s.Action.Safe {
		list = append(list, refer("parameters", "IdempotencyKey"), refer("parameters", "Prefer"))
	}
	if s.Caching != nil {
		list = append(list, refer("parameters", "IfNoneMatch"), refer("parameters", "CacheControl"))
	}
	if s.Plan == nil {
		return list
	}
	for _, name := range s.Plan.Args.Headers {
		switch name {
		case "accept", "content-type", "authorization", "x-request-id", "idempotency-key", "prefer":
			// OpenAPI forbids the first three; the others are in the list.
		default:
			list = append(list, parameter(name, "header", false, map[string]any{"type": "string"}))
		}
	}
	return list
}

// body describes the body of a request.
func (b *builder) body(s *subject, arg wire.Argument) any {
	from := b.schemas.read(s.Service, arg.Schema, s.name+pascal(arg.Name))
	return map[string]any{"required": from.needed(), "content": content(from.component())}
}

func content(schema any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// responses describes the answers to a request.
func (b *builder) responses(s *subject) map[string]any {
	result := b.result(s)
	list := map[string]any{
		"200":     b.success(s, "The result.", result),
		"400":     refer("responses", "BadRequest"),
		"default": refer("responses", "Failure"),
	}
	if b.options.Auth != auth.None {
		list["401"] = refer("responses", "Unauthenticated")
		if len(s.Action.Scopes) > 0 {
			list["403"] = refer("responses", "Forbidden")
		}
	}
	if !s.Action.Safe {
		list["202"] = refer("responses", "Accepted")
		if s.method == http.MethodPost {
			list["201"] = b.success(s, "A resource was created. The result is that of 200.", result, "Location")
		}
	}
	if s.Caching != nil {
		list["304"] = refer("responses", "NotModified")
	}
	return list
}

// success describes the answer with a result.
func (b *builder) success(s *subject, description string, result any, headers ...string) any {
	headers = append(headers, "X-Request-Id", "Server-Timing")
	if !s.Action.Safe {
		headers = append(headers, "Idempotency-Replayed")
	}
	if s.Caching != nil {
		headers = append(headers, "ETag", "Cache-Status")
	}
	described := make(map[string]any, len(headers))
	for _, name := range headers {
		described[name] = refer("headers", name)
	}
	return map[string]any{"description": description, "headers": described, "content": content(map[string]any{
		"type":     "object",
		"required": []string{"ok", "result"},
		"properties": map[string]any{
			"ok":     map[string]any{"type": "boolean", "enum": []bool{true}},
			"result": result,
		},
	})}
}

// result returns the schema of the result. That of a composition is known if it is the
// result of a step.
func (b *builder) result(s *subject) map[string]any {
	service, text := s.Service, s.Action.Result
	if s.Plan != nil {
		step := s.Plan.Answer()
		if step == nil {
			return map[string]any{}
		}
		action := b.table.Services[step.Service].Action(step.Action)
		if action == nil {
			return map[string]any{}
		}
		service, text = step.Service, action.Result
	}
	if len(text) == 0 {
		return map[string]any{}
	}
	return b.schemas.read(service, text, s.name+"Result").component()
}

// security returns what a caller needs for an action with scopes; nil: what the document
// says for all operations.
func (b *builder) security(scopes []string) *[]map[string][]string {
	if len(scopes) == 0 || b.options.Auth == auth.None {
		return nil
	}
	return &[]map[string][]string{{"apiKey": scopes}, {"bearer": scopes}}
}
