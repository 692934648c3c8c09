package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oskadev/mailroom/api/auth"
	"github.com/oskadev/mailroom/api/route"
	"github.com/oskadev/mailroom/bus/wire"
)

const (
	// MaxOperations is the maximum number of operations of one service in a document.
	// Further ones are left out, which the description says.
	MaxOperations = 2000
	maxOperations = 10_000 // of all services
)

// Options say what a document describes.
type Options struct {
	// Version is the version of the API, such as v2. Defaults to the routes of the services
	// themselves.
	Version string
	// Auth says whether callers must authenticate. Defaults to auth.None.
	Auth auth.Mode
}

// document is an OpenAPI document.
type document struct {
	OpenAPI    string                `json:"openapi"`
	Info       info                  `json:"info"`
	Servers    []server              `json:"servers"`
	Security   []map[string][]string `json:"security"`
	Tags       []tag                 `json:"tags"`
	Paths      map[string]any        `json:"paths"`
	Components components            `json:"components"`
	// Versions are the versions that have a document of their own, for viewers.
	Versions []string `json:"x-mailroom-versions"`
}

type info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description"`
}

type server struct {
	URL string `json:"url"`
}

type tag struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// builder builds one document.
type builder struct {
	table   *route.Table
	options Options
	schemas *schemas

	ids    names
	paths  map[string]map[string]any // by template: operations by method
	shapes map[string]string         // the template of each shape of a path
	count  map[string]int            // operations by service
	total  int
	left   map[string]int // operations that are left out, by service
}

// Build returns the document of the routes in a table. Equal tables give equal bytes. found is
// false for a version that does not exist.
func Build(t *route.Table, o Options) (doc []byte, found bool, err error) {
	routes, found := t.Routes(o.Version)
	if !found {
		return nil, false, nil
	}
	own, err := newComponents()
	if err != nil {
		return nil, true, err
	}
	if o.Auth == "" {
		o.Auth = auth.None
	}
	b := &builder{
		table: t, options: o, ids: make(names), paths: make(map[string]map[string]any), shapes: make(map[string]string),
		count: make(map[string]int), left: make(map[string]int),
		schemas: &schemas{components: own, names: make(names), bytes: make(map[string]int), input: make(map[string]int), sources: make(map[sourceKey]*source)},
	}
	for _, kind := range own {
		for name := range kind { // generators make a type of each kind
			b.schemas.names[fold(name)] = true
		}
	}
	for _, r := range routes {
		b.add(r)
	}
	doc, err = json.Marshal(b.document(own))
	return doc, true, err
}

// add adds the operation of a route.
func (b *builder) add(r *route.Route) {
	method, path, _ := strings.Cut(r.Pattern, " ")
	own := path
	if r.Plan != nil {
		own = r.Plan.Path
	} else if b.options.Version != "" {
		path = "/" + b.options.Version + path
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(own, "/"), "/")
	if len(path) > maxPath || len(r.Action.Scopes) > maxScopes || b.count[service] >= MaxOperations || b.total >= maxOperations {
		b.left[service]++
		return
	}
	b.count[service]++
	b.total++
	s := &subject{Route: r, method: method, tag: tagName(service)}
	at := b.place(path, s)
	id := b.identify(s, method, own)
	b.paths[at][strings.ToLower(method)] = b.operation(s, id)
}

// place returns the template of a path, and gives the subject the names in it. Paths of one
// shape have one template: that of the first.
func (b *builder) place(path string, s *subject) string {
	text, shape, params := template(path)
	at, known := b.shapes[shape]
	if !known {
		at = text
		b.shapes[shape], b.paths[at] = at, make(map[string]any)
	} else {
		params = placeholders(at)
	}
	s.params = params
	return at
}

// identify returns the operationId, and gives the subject its name for components. A
// composition that replaces a route of a service has the operationId of that route, so that
// generated code keeps its names from one version to the next.
func (b *builder) identify(s *subject, method, path string) string {
	service, action := s.Service, s.Action.Name
	if replaced := b.table.Replaced(s.Route); replaced != nil {
		service, action = replaced.Service, replaced.Action.Name
	} else if s.Plan != nil {
		service, action = method, strings.NewReplacer("/:", "/by_", "/", "_").Replace(path)
	}
	s.name = pascal(service, action)
	return b.ids.take(upper(service, action))
}

// tagName returns the tag of the paths of a service.
func tagName(service string) string {
	if wire.CheckServiceName(service) != nil {
		return wire.ReservedService
	}
	return service
}

// document returns the whole document. It has the ticket of requests where there are unsafe
// actions.
func (b *builder) document(own components) *document {
	paths := make(map[string]any, len(b.paths)+1)
	for path, operations := range b.paths {
		paths[path] = operations
	}
	paths["/requests/{id}"] = own["pathItems"]["requests"]
	doc := &document{
		OpenAPI: "3.1.1",
		Info:    info{Title: "Mailroom API", Version: b.options.Version, Description: b.description()},
		Servers: []server{{URL: "/"}}, Security: b.callers(), Tags: b.tags(), Paths: paths, Versions: b.table.Versions(),
	}
	if doc.Versions == nil {
		doc.Versions = []string{}
	}
	if doc.Info.Version == "" {
		doc.Info.Version = "unversioned"
	}
	doc.Components = own.used(paths)
	if b.options.Auth != auth.None {
		doc.Components["securitySchemes"] = own["securitySchemes"]
	}
	return doc
}

// callers returns what callers need, unless an operation says otherwise.
func (b *builder) callers() []map[string][]string {
	switch b.options.Auth {
	case auth.Required:
		return []map[string][]string{{"apiKey": {}}, {"bearer": {}}}
	case auth.Optional:
		return []map[string][]string{{}, {"apiKey": {}}, {"bearer": {}}}
	default:
		return []map[string][]string{}
	}
}

// description says what the document describes and what is missing.
func (b *builder) description() string {
	text := []string{"The routes of the services themselves."}
	if b.options.Version != "" {
		text[0] = "Version " + b.options.Version + ": its own routes, and those of the services that it does not replace."
		if more := retirement(b.table.Retirement(b.options.Version)); more != "" {
			text = append(text, more)
		}
	}
	left := slices.Sorted(maps.Keys(b.left))
	for i, service := range left {
		if i == 20 {
			text = append(text, "Operations of other services are left out too.")
			break
		}
		text = append(text, fmt.Sprintf("%d operations of %s are left out: a document has at most %d of a service and %d of all, and each has at most %d bytes of path and %d scopes.",
			b.left[service], tagName(service), MaxOperations, maxOperations, maxPath, maxScopes))
	}
	return strings.Join(text, " ")
}

// tags returns the services that have operations, and the requests of the gateway.
func (b *builder) tags() []tag {
	names := make(map[string]string)
	for service := range b.count {
		name := tagName(service)
		names[name] = "Compositions of this version."
		if s := b.table.Services[service]; s != nil && s.Manifest != nil {
			names[name] = strings.TrimSpace("The service "+service+" "+cut(plainText(oneLine(s.Manifest.Version)), maxName)) + "."
		}
	}
	var tags []tag
	for _, name := range slices.Sorted(maps.Keys(names)) {
		tags = append(tags, tag{name, names[name]})
	}
	return append(tags, tag{"requests", "Requests that have been accepted."})
}
