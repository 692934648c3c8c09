package registry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/lograte"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// lookEvery is the interval at which the registry is read without a hint.
const lookEvery = time.Second

// hintEvery is the least time between two reads because of hints.
const hintEvery = 50 * time.Millisecond

// Service is a service as its workers declare it.
type Service struct {
	Name string
	// Manifest holds the actions that all live workers declare. Without live workers it
	// is the last known one; nil: not known.
	Manifest *wire.Manifest
	// Workers are the live workers, sorted by ID.
	Workers []Worker
	// Partial are the routes that some live builds declare and others do not, sorted. They
	// are not in Manifest, since any worker may get the request. Without live workers they
	// are those of the last known builds.
	Partial []string
	// Variants are the declarations of an action by other live builds whose arguments
	// differ from those in Manifest, by the name of the action.
	Variants map[string][]*wire.Action

	// Unknown are the members of its manifests that this version ignores, sorted.
	Unknown []string

	// Paused says what happens to calls while the mailbox is paused: PauseWait or
	// PauseRefuse; empty: it is not.
	Paused string

	// Fault says which limit the service is over, or what of it cannot be read; empty:
	// nothing. Its last good manifest stays in force.
	Fault string
	// More is the number of live workers that are not in Workers: over the limit.
	More int

	digests string // of the manifests that Manifest merges
}

// The values of Paused: calls wait for the end of the pause, or are refused.
const (
	PauseWait   = "wait"
	PauseRefuse = "refuse"
)

// Live reports whether the service has a live worker.
func (s *Service) Live() bool { return s != nil && len(s.Workers) > 0 }

// Action returns the action with a name, or nil.
func (s *Service) Action(name string) *wire.Action {
	if s == nil {
		return nil
	}
	return s.Manifest.Action(name)
}

// Worker is one worker of a service.
type Worker struct {
	ID string
	// Digest is the digest of its manifest, Version the version in it.
	Digest  string
	Version string
	// Expires is when the worker counts as dead without another heartbeat, Redis time.
	Expires time.Time
}

// Snapshot holds the known services at one moment, by name. It is immutable.
type Snapshot map[string]*Service

// Registry follows the services of a namespace. It is safe for concurrent use.
type Registry struct {
	conn     *bus.Conn
	onChange func(Snapshot)
	limits   limits
	current  atomic.Pointer[Snapshot]
	looked   atomic.Bool
	logs     lograte.Limiter

	looking sync.Mutex           // one read at a time; it guards the rest
	follows map[string]bool      // the services to read; nil: all
	scan    scan                 // of the known names
	states  map[string]*state    // by service
	gone    map[string]time.Time // when the names of known services were missed
}

// New returns a registry of all services. onChange, which may be nil, is called on one
// goroutine when a service appears, loses its workers or changes its manifest.
func New(conn *bus.Conn, onChange func(Snapshot)) *Registry { return newRegistry(conn, onChange, nil) }

// NewFollower returns a registry of the services that are named to Follow. It needs no
// rights on other services.
func NewFollower(conn *bus.Conn) *Registry { return newRegistry(conn, nil, make(map[string]bool)) }

func newRegistry(conn *bus.Conn, onChange func(Snapshot), follows map[string]bool) *Registry {
	r := &Registry{conn: conn, onChange: onChange, limits: defaultLimits(), follows: follows, states: make(map[string]*state), gone: make(map[string]time.Time)}
	r.current.Store(&Snapshot{})
	return r
}

// Follow returns a service and keeps it up to date from now on; nil: it is not known.
// Only for a registry of NewFollower.
func (r *Registry) Follow(ctx context.Context, name string) (*Service, error) {
	if s := r.Snapshot()[name]; s != nil {
		return s, nil
	}
	if err := wire.CheckServiceName(name); err != nil {
		return nil, err
	}
	r.looking.Lock()
	r.follows[name] = true
	r.looking.Unlock()
	if err := r.Look(ctx); err != nil {
		if rediserr.IsRefused(err) { // the refusal would stop reads of the others
			r.looking.Lock()
			delete(r.follows, name)
			r.looking.Unlock()
		}
		return nil, err
	}
	return r.Snapshot()[name], nil
}

// Snapshot returns the result of the last read.
func (r *Registry) Snapshot() Snapshot { return *r.current.Load() }

// Looked reports whether the registry has been read at least once.
func (r *Registry) Looked() bool { return r.looked.Load() }

// Run reads the registry each second, and a service when one of its workers announces a
// change, until the context ends. The last result stays while Redis is unreachable.
func (r *Registry) Run(ctx context.Context) {
	hints := newHints()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.listen(ctx, hints)
	}()
	defer func() { <-done }()
	readers := newReaders(r)
	defer readers.close()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if err := r.look(ctx, readers, nil); err != nil && ctx.Err() == nil {
			r.conn.Log().DebugContext(ctx, "reading the registry failed", "error", err)
		}
		for due := false; !due; {
			select {
			case <-hints.due:
				if err := r.look(ctx, readers, hints.take()); err != nil && ctx.Err() == nil {
					r.conn.Log().DebugContext(ctx, "reading announced services failed", "error", err)
				}
				_ = backoff.Pause(ctx, hintEvery) // the loop checks the context
			case <-ticker.C:
				due = true
			case <-ctx.Done():
				return
			}
		}
	}
}

// listen forwards announcements of changes. A lost one only delays the change until the
// next read.
func (r *Registry) listen(ctx context.Context, hints *hints) {
	for ctx.Err() == nil {
		// Listen itself reports a refusal to the connection.
		_ = r.conn.Listen(ctx, r.conn.Keys.Registry(), func(name string) {
			hints.add(name, r.Snapshot()[name] != nil)
		})
		_ = backoff.Pause(ctx, lookEvery) // the loop checks the context
	}
}

// Look reads the registry once.
func (r *Registry) Look(ctx context.Context) error {
	readers := newReaders(r)
	defer readers.close()
	return r.look(ctx, readers, nil)
}
