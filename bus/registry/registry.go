package registry

import (
	"context"
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

// lookEvery is how often the registry is read without a hint.
const lookEvery = time.Second

// Service is a service as its workers declare it.
type Service struct {
	Name string
	// Manifest holds the actions that all live workers declare; of a service
	// without live workers, what was known last; nil when nothing is known.
	Manifest *wire.Manifest
	// Workers are those alive, by identifier.
	Workers []Worker

	digests string // of the manifests behind Manifest
}

// Live reports whether a worker serves it.
func (s *Service) Live() bool { return s != nil && len(s.Workers) > 0 }

// Action returns the action with a name; nil: there is none that is known.
func (s *Service) Action(name string) *wire.Action {
	if s == nil {
		return nil
	}
	return s.Manifest.Action(name)
}

// WorkerInfo is one worker of a service.
type Worker struct {
	ID string
	// Digest names its manifest, and Version is what that says.
	Digest  string
	Version string
	// Expires is when it counts as dead unless it says otherwise, Redis time.
	Expires time.Time
}

// Snapshot is the services known at one moment, by name. It does not change.
type Snapshot map[string]*Service

// Registry follows who serves what.
type Registry struct {
	conn     *bus.Conn
	onChange func(Snapshot)
	current  atomic.Pointer[Snapshot]
	looked   atomic.Bool
	looking  sync.Mutex                // one look at a time
	follows  map[string]bool           // the services that count; nil: all
	parsed   map[string]*wire.Manifest // by service and digest; those in use
}

// New prepares a registry. onChange, which may be nil, is called on
// one goroutine whenever a service came, went or declares something else.
func New(conn *bus.Conn, onChange func(Snapshot)) *Registry {
	r := &Registry{conn: conn, onChange: onChange, parsed: make(map[string]*wire.Manifest)}
	r.current.Store(&Snapshot{})
	return r
}

// NewFollower prepares a registry of those services alone that somebody asks for by
// Follow: it needs no rights on the others.
func NewFollower(conn *bus.Conn) *Registry {
	r := New(conn, nil)
	r.follows = make(map[string]bool)
	return r
}

// Follow gives a service, from now on kept up to date; nil: nothing is known of it.
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
		if rediserr.IsRefused(err) { // it would keep the others from being looked at
			r.looking.Lock()
			delete(r.follows, name)
			r.looking.Unlock()
		}
		return nil, err
	}
	return r.Snapshot()[name], nil
}

// Snapshot is what was found last.
func (r *Registry) Snapshot() Snapshot { return *r.current.Load() }

// Looked reports whether the registry has been read at least once.
func (r *Registry) Looked() bool { return r.looked.Load() }

// Run looks each second, and at once when a worker hints at a change, until
// the context ends. While Redis is away, what was found last stays.
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
			r.conn.Log().DebugContext(ctx, "could not look at the registry", "error", err)
		}
		select {
		case <-hints:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// listen passes hints on. They are only hints: what is missed is found by the
// next look.
func (r *Registry) listen(ctx context.Context, hints chan<- struct{}) {
	rdb := r.conn.NewClient()
	defer func() { _ = rdb.Close() }()
	for ctx.Err() == nil {
		pubsub := rdb.Subscribe(ctx, r.conn.Keys.Registry())
		unwatch := context.AfterFunc(ctx, func() { _ = pubsub.Close() })
		for {
			message, err := pubsub.Receive(ctx)
			if err != nil {
				_ = r.conn.Explain(err, "subscribe", r.conn.Keys.Registry()) // it tells of a refusal
				break
			}
			if _, ok := message.(*redis.Message); ok {
				select {
				case hints <- struct{}{}:
				default: // one is waiting already
				}
			}
		}
		unwatch()
		_ = pubsub.Close()
		_ = backoff.Pause(ctx, lookEvery) // the loop looks at the context
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
	// What was known stays known: a Redis that lost its data is told anew by the
	// workers' next heartbeats, and until then has no workers, not no services.
	for name := range r.Snapshot() {
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	now := r.conn.Clock.Millis()
	members := make([]*redis.ZSliceCmd, len(names))
	pipe := r.conn.Redis().Pipeline()
	for i, name := range names {
		members[i] = pipe.ZRangeByScoreWithScores(ctx, r.conn.Keys.Workers(name), &redis.ZRangeBy{Min: "-inf", Max: "+inf"})
	}
	if len(names) > 0 {
		if _, err := pipe.Exec(ctx); err != nil && !rediserr.IsServer(err) {
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
		case rediserr.IsRefused(err): // of all services, then
			return err
		case rediserr.IsServer(err): // somebody's keys are in the way of this one; the others go on
			r.conn.Log().ErrorContext(ctx, "ignored a service", "service", name, "error", err)
		case err != nil:
			return err
		default:
			next[name] = s
		}
	}
	r.parsed = used
	r.publish(next)
	r.looked.Store(true)
	return nil
}

// names lists the services that there are, or those that are followed.
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

// service builds the state of one service from its workers.
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
		}
		return s, nil
	}
	digests := slices.Sorted(maps.Keys(live))
	s.digests = strings.Join(digests, " ")
	s.Manifest = intersect(digests, live)
	return s, nil
}

// manifest reads a manifest, or takes it from the last look: its digest says
// that it is the same. One that cannot be read counts as not there.
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
		err = fmt.Errorf("it is of the service %q", m.Service)
	}
	if err != nil {
		r.conn.Log().ErrorContext(ctx, "ignored a manifest", "service", service, "digest", digest, "error", err)
		m = nil
	}
	used[key] = m // also a bad one: it is the same at the next look
	return m, nil
}

// publish makes a snapshot the current one, and tells of a change.
func (r *Registry) publish(next Snapshot) {
	before := r.Snapshot()
	r.current.Store(&next)
	same := maps.EqualFunc(before, next, func(a, b *Service) bool {
		return a.digests == b.digests && a.Live() == b.Live()
	})
	if !same && r.onChange != nil {
		r.onChange(next)
	}
}
