package route

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/versions"
)

// router finds the route of a call. Its table follows the services and the versions
// file. It is safe for concurrent use.
type Router struct {
	versioned *versioned
	log       *slog.Logger
	ruled     []string // the routes that limits name
	unmatched sync.Map // of them, those logged because no service declares them

	Table    atomic.Pointer[Table]
	building sync.Mutex // one table is built at a time
}

// newRouter reads the versions file. The table has no services yet.
func New(file string, text []byte, ruled []string, log *slog.Logger) (*Router, error) {
	versioned, err := newVersioned(file, text)
	if err != nil {
		return nil, err
	}
	r := &Router{versioned: versioned, log: log, ruled: ruled}
	r.rebuild(registry.Snapshot{})
	return r, nil
}

// update builds the table for services that have changed.
func (r *Router) Update(services registry.Snapshot) {
	r.building.Lock()
	r.rebuild(services)
	r.building.Unlock()
	r.warnOfRules()
}

// services are those that the router knows.
func (r *Router) Services() registry.Snapshot { return r.Table.Load().Services }

// find returns a service by its name; nil: it is unknown.
func (r *Router) Find(_ context.Context, name string) (*registry.Service, error) {
	return r.Services()[name], nil
}

// composed reports whether there are versions, whose compositions gateways run.
func (r *Router) Composed() bool { return r.versioned.inForce() != nil }

// plan returns the plan in force with this hash; nil: there is none.
func (r *Router) Plan(hash string) *versions.Plan { return r.versioned.inForce().Plan(hash) }

// pattern returns the pattern of the route of a call; empty: there is none.
func (r *Router) Pattern(method, path string) string {
	segments, ok := exchange.SplitPath(path)
	if !ok {
		return ""
	}
	found, _, _, _ := r.Table.Load().Find(&exchange.Request{Method: method}, segments)
	if found == nil {
		return ""
	}
	return found.Pattern
}

// warnOfRules logs once of each route that a limit names and its service does not
// declare: such a limit has no effect.
func (r *Router) warnOfRules() {
	t := r.Table.Load()
	for _, route := range r.ruled {
		_, path, _ := strings.Cut(route, " /")
		name, _, _ := strings.Cut(path, "/")
		service := t.Services[name]
		if route == "" || t.patterns[route] || service == nil || service.Manifest == nil {
			continue
		}
		if _, told := r.unmatched.LoadOrStore(route, true); !told {
			r.log.Warn("a limit is for a route that no service declares", "route", route)
		}
	}
}
