package route

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oskadev/mailroom/api/exchange"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/versions"
)

// checkInterval is the time between two checks of the versions file.
const checkInterval = 500 * time.Millisecond

// Router holds the table of routes. The table follows the services and the versions file.
// It is safe for concurrent use.
type Router struct {
	file      *versionsFile
	log       *slog.Logger
	ruled     []string // the routes that limits name
	unmatched sync.Map // those of ruled that were logged because neither a service nor a version declares them

	table    atomic.Pointer[Table]
	building sync.Mutex // held while a table is built
}

// New returns a router without services. The versions are those of a file, or of a text
// where file is empty; without either there are none. ruled are the routes that limits
// name.
func New(file string, text []byte, ruled []string, log *slog.Logger) (*Router, error) {
	read, err := newVersionsFile(file, text)
	if err != nil {
		return nil, err
	}
	r := &Router{file: read, log: log, ruled: ruled}
	r.rebuild(registry.Snapshot{})
	return r, nil
}

// Table returns the current table.
func (r *Router) Table() *Table { return r.table.Load() }

// Update rebuilds the table for changed services.
func (r *Router) Update(services registry.Snapshot) {
	r.building.Lock()
	r.rebuild(services)
	r.building.Unlock()
	r.warnOfRules()
}

// Services returns the services of the table.
func (r *Router) Services() registry.Snapshot { return r.Table().Services }

// Find returns a service by its name; nil: it is unknown.
func (r *Router) Find(_ context.Context, name string) (*registry.Service, error) {
	return r.Services()[name], nil
}

// Composed reports whether there are versions, whose compositions gateways run.
func (r *Router) Composed() bool { return r.file.inForce() != nil }

// Versions returns the versions in force; nil: none.
func (r *Router) Versions() *versions.File { return r.file.inForce() }

// Plan returns the plan in force with a hash; nil: there is none.
func (r *Router) Plan(hash string) *versions.Plan { return r.file.inForce().Plan(hash) }

// Pattern returns the pattern of the route of a request; empty: there is no route.
func (r *Router) Pattern(method, path string) string {
	segments, ok := exchange.SplitPath(path)
	if !ok {
		return ""
	}
	found, _, _, _ := r.Table().Find(&exchange.Request{Method: method}, segments)
	if found == nil {
		return ""
	}
	return found.Pattern
}

// warnOfRules logs once each route that a limit names and that its service or its version
// does not declare: such a limit has no effect.
func (r *Router) warnOfRules() {
	t := r.Table()
	for _, route := range r.ruled {
		_, path, _ := strings.Cut(route, " /")
		name, _, _ := strings.Cut(path, "/")
		service := t.Services[name]
		known := service != nil && service.Manifest != nil || isVersion(name)
		if route == "" || t.patterns[route] || !known {
			continue
		}
		if _, logged := r.unmatched.LoadOrStore(route, true); !logged {
			r.log.Warn("a limit is for a route that neither a service nor a version declares", "route", route)
		}
	}
}

// Watch reads the versions file again when it changes, and on SIGHUP, until the context
// ends. An invalid one leaves the current one in force.
func (r *Router) Watch(ctx context.Context) {
	if r.file.name == "" {
		return
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	missing := false
	for {
		forced := false
		select {
		case <-hangups:
			forced = true
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		text, err := os.ReadFile(r.file.name)
		if err != nil {
			if !missing || forced {
				r.log.Error("the versions file cannot be read, the one before stays in force", "file", r.file.name, "error", err)
			}
			missing = true
			continue
		}
		missing = false
		if r.file.take(text, forced) {
			r.reload(text)
		}
	}
}

// reload puts a text in force unless it is invalid, by itself or by the manifests of the
// services.
func (r *Router) reload(text []byte) {
	r.building.Lock() // the services stay as they are meanwhile, or rebuild the table afterwards
	defer r.building.Unlock()
	services := r.Services()
	parsed, faults := versions.Parse(text, services)
	if parsed == nil {
		r.log.Error("the versions file is invalid, the one before stays in force", "faults", r.file.named(faults))
		r.file.refuse(text)
		return
	}
	r.enforce(parsed)
	r.rebuild(services)
}

// enforce puts a file in force and logs it.
func (r *Router) enforce(parsed *versions.File) {
	r.file.enforce(parsed)
	r.log.Info("the versions file is in force", "file", r.file.name, "versions", len(parsed.Versions))
}

// rebuild replaces the table. It first tries a refused versions file again: the services
// may fit it now. Its caller holds the lock, or is New.
func (r *Router) rebuild(services registry.Snapshot) {
	if text := r.file.refusedText(); text != nil {
		if parsed, _ := versions.Parse(text, services); parsed != nil {
			r.enforce(parsed)
		}
	}
	file := r.file.inForce()
	r.table.Store(buildTable(services, file, r.table.Load(), r.log))
	if file == nil {
		return
	}
	// A service may have changed since the file was read.
	faults := slices.DeleteFunc(file.Check(services), func(f versions.Fault) bool { return f.Warning })
	if r.file.unlogged(faults) {
		r.log.Error("versions do not fit the manifests of the services", "faults", r.file.named(faults))
	}
}
