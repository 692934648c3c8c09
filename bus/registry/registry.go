package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/backoff"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// lookEvery is the interval at which the registry is read without a hint.
const lookEvery = time.Second

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
	current  atomic.Pointer[Snapshot]
	looked   atomic.Bool
	looking  sync.Mutex                // one read at a time
	follows  map[string]bool           // the services to read; nil: all
	parsed   map[string]*wire.Manifest // by key; only those in use
}

// New returns a registry of all services. onChange, which may be nil, is called on one
// goroutine when a service appears, loses its workers or changes its manifest.
func New(conn *bus.Conn, onChange func(Snapshot)) *Registry { return newRegistry(conn, onChange, nil) }

// NewFollower returns a registry of the services that are named to Follow. It needs no
// rights on other services.
func NewFollower(conn *bus.Conn) *Registry { return newRegistry(conn, nil, make(map[string]bool)) }

func newRegistry(conn *bus.Conn, onChange func(Snapshot), follows map[string]bool) *Registry {
	r := &Registry{conn: conn, onChange: onChange, follows: follows, parsed: make(map[string]*wire.Manifest)}
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

// Run reads the registry each second, and at once when a worker announces a change,
// until the context ends. The last result stays while Redis is unreachable.
func (r *Registry) Run(ctx context.Context) {
	hints := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.listen(ctx, hints)
	}()
	defer func() { <-done }()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if err := r.Look(ctx); err != nil && ctx.Err() == nil {
			r.conn.Log().DebugContext(ctx, "reading the registry failed", "error", err)
		}
		select {
		case <-hints:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// listen forwards announcements of changes. A lost one only delays the change until the
// next read.
func (r *Registry) listen(ctx context.Context, hints chan<- struct{}) {
	for ctx.Err() == nil {
		// Listen itself reports a refusal to the connection.
		_ = r.conn.Listen(ctx, r.conn.Keys.Registry(), func() {
			select {
			case hints <- struct{}{}:
			default: // one is due already
			}
		})
		_ = backoff.Pause(ctx, lookEvery) // the loop checks the context
	}
}

// Look reads the registry once.
func (r *Registry) Look(ctx context.Context) error {
	r.looking.Lock()
	defer r.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.conn.Timeout())
	defer cancel()
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	// Known services stay: if Redis lost its data, they have no workers until the next
	// heartbeats.
	for name := range r.Snapshot() {
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	now := r.conn.Clock.Millis()
	members := make([]*redis.ZSliceCmd, len(names))
	pauses := make([]*redis.StringCmd, len(names))
	pipe := r.conn.Redis().Pipeline()
	for i, name := range names {
		members[i] = pipe.ZRangeByScoreWithScores(ctx, r.conn.Keys.Workers(name), &redis.ZRangeBy{Min: "-inf", Max: "+inf"})
		pauses[i] = pipe.Get(ctx, r.conn.Keys.Paused(name))
	}
	if len(names) > 0 {
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) && !rediserr.IsServer(err) {
			return fmt.Errorf("read the workers: %w", err)
		}
	}
	next := make(Snapshot, len(names))
	used := make(map[string]*wire.Manifest, len(r.parsed))
	for i, name := range names {
		if wire.CheckServiceName(name) != nil {
			continue
		}
		s, err := r.service(ctx, name, members[i], now, used)
		switch {
		case rediserr.IsRefused(err): // a refusal concerns all services
			return err
		case rediserr.IsServer(err): // keys of a wrong type affect this service only
			r.conn.Log().ErrorContext(ctx, "service ignored", "service", name, "error", err)
		case err != nil:
			return err
		default:
			s.Paused = pauseOf(pauses[i].Val())
			next[name] = s
		}
	}
	r.parsed = used
	r.publish(next)
	r.looked.Store(true)
	return nil
}

// pauseOf reads the value of a pause. An unknown one refuses calls.
func pauseOf(value string) string {
	switch value {
	case "", PauseWait:
		return value
	default:
		return PauseRefuse
	}
}

// names lists all known services, or the followed ones.
func (r *Registry) names(ctx context.Context) ([]string, error) {
	if r.follows != nil {
		return slices.Collect(maps.Keys(r.follows)), nil
	}
	names, err := r.conn.Redis().SMembers(ctx, r.conn.Keys.Services()).Result()
	if err != nil {
		return nil, fmt.Errorf("read the known services: %w", err)
	}
	return names, nil
}

// service returns one service from its workers.
func (r *Registry) service(ctx context.Context, name string, workers *redis.ZSliceCmd, now int64, used map[string]*wire.Manifest) (*Service, error) {
	members, err := workers.Result()
	if err != nil {
		return nil, fmt.Errorf("read the workers of %s: %w", name, err)
	}
	s := &Service{Name: name}
	live := make(map[string]*wire.Manifest)
	known := make(map[string]*wire.Manifest)
	for _, z := range members {
		member, _ := z.Member.(string)
		id, digest, ok := strings.Cut(member, " ")
		if !ok {
			continue
		}
		m, err := r.manifest(ctx, name, digest, used)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		known[digest] = m
		if int64(z.Score) > now {
			live[digest] = m
			s.Workers = append(s.Workers, Worker{
				ID: id, Digest: digest, Version: m.Version, Expires: time.UnixMilli(int64(z.Score)),
			})
		}
	}
	slices.SortFunc(s.Workers, func(a, b Worker) int { return strings.Compare(a.ID, b.ID) })
	if len(live) == 0 {
		live = known
	}
	if len(live) == 0 {
		if before := r.Snapshot()[name]; before != nil {
			s.Manifest, s.digests = before.Manifest, before.digests
			s.Partial, s.Variants, s.Unknown = before.Partial, before.Variants, before.Unknown
		}
		return s, nil
	}
	digests := slices.Sorted(maps.Keys(live))
	s.digests = strings.Join(digests, " ")
	s.Manifest = intersect(digests, live)
	s.Partial, s.Variants = partial(live, s.Manifest), variants(digests, live, s.Manifest)
	for _, m := range live {
		s.Unknown = append(s.Unknown, m.Unknown...)
	}
	slices.Sort(s.Unknown)
	s.Unknown = slices.Compact(s.Unknown)
	return s, nil
}

// manifest returns a manifest, from the last read if the digest is the same. An
// unreadable one counts as missing.
func (r *Registry) manifest(ctx context.Context, service, digest string, used map[string]*wire.Manifest) (*wire.Manifest, error) {
	key := r.conn.Keys.Manifest(service, digest)
	if m, ok := r.parsed[key]; ok {
		used[key] = m
		return m, nil
	}
	text, err := r.conn.Redis().Get(ctx, key).Result()
	if err == redis.Nil { //nolint:errorlint // the library returns exactly this
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", key, err)
	}
	m, err := wire.ParseManifest([]byte(text))
	if err == nil && m.Service != service {
		err = fmt.Errorf("it names the service %q", m.Service)
	}
	if err != nil {
		r.conn.Log().ErrorContext(ctx, "manifest ignored", "service", service, "digest", digest, "error", err)
		m = nil
	}
	used[key] = m // a bad one too: the next read gets the same
	return m, nil
}

// publish sets the current snapshot and reports a change.
func (r *Registry) publish(next Snapshot) {
	before := r.Snapshot()
	r.current.Store(&next)
	same := maps.EqualFunc(before, next, func(a, b *Service) bool {
		return a.digests == b.digests && a.Live() == b.Live() && a.Paused == b.Paused
	})
	if !same && r.onChange != nil {
		r.onChange(next)
	}
}
