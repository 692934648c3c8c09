package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/cache"
)

// maxTTL limits the time for which an answer is cached.
const maxTTL = 24 * time.Hour

func (a *action) caching() *wire.Caching {
	if a.declared.Cache == nil {
		a.declared.Cache = &wire.Caching{}
	}
	return a.declared.Cache
}

// Cache stores the answers of a safe action for ttl, from 1 ms to 24 h, or until one of
// the tags is invalidated. All gateways share the answers, and identical requests at the
// same time run once. In a tag, {0} is the first argument. Each principal has answers of
// its own, unless the action is [Public]. Defaults to no caching.
func Cache(ttl time.Duration, tags ...string) ActionOption {
	return func(a *action) {
		c := a.caching()
		c.TTLMillis, c.Tags = ttl.Milliseconds(), append(c.Tags, tags...)
		if ttl < time.Millisecond || ttl > maxTTL {
			a.faults = append(a.faults, fmt.Errorf("action %s: Cache for %v: want 1 ms to %v; see CollapseOnly", a.declared.Name, ttl, maxTTL))
		}
	}
}

// CollapseOnly lets identical requests at the same time run once, without storing the
// answer. A request may get the answer of a run that began before the request, unless one
// of the tags was invalidated in between. Defaults to one run for each request.
func CollapseOnly(tags ...string) ActionOption {
	return func(a *action) { a.caching().Tags = append(a.caching().Tags, tags...) }
}

// StaleWhileRevalidate lets the gateway return a cached answer for the time d after its
// TTL, while it makes a new one (RFC 5861). It needs [Cache]; at most 24 h. Defaults to 0.
func StaleWhileRevalidate(d time.Duration) ActionOption {
	return func(a *action) { a.caching().StaleWhileRevalidateMillis = d.Milliseconds() }
}

// StaleIfError lets the gateway return a cached answer for the time d after its TTL if the
// service does not answer, or answers with a status of 500 or more (RFC 5861). It needs
// [Cache]; at most 24 h. Defaults to 0.
func StaleIfError(d time.Duration) ActionOption {
	return func(a *action) { a.caching().StaleIfErrorMillis = d.Milliseconds() }
}

// Public lets all principals share the cached answers of an action. Use it only if the
// answer does not depend on the caller. Defaults to false.
func Public() ActionOption {
	return func(a *action) { a.caching().Public = true }
}

// Invalidates makes an unsafe action invalidate every cached answer of its service that
// has one of the tags, whatever the outcome of the action. Runs that have started do not
// store their answers either. It happens before the action's own answer is sent. In a
// tag, {0} is the first argument. See [Invalidate] for tags that only the handler knows.
// Defaults to none.
func Invalidates(tags ...string) ActionOption {
	return func(a *action) { a.declared.Invalidates = append(a.declared.Invalidates, tags...) }
}

// Invalidate adds tags to those of [Invalidates] from within a handler. The answers become
// invalid after the handler has returned and before its answer is sent. Outside a
// handler, Invalidate does nothing.
func Invalidate(ctx context.Context, tags ...string) {
	if s := stateOf(ctx); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tags = append(s.tags, tags...)
	}
}

// checkCaching reports the faults in the caching options of an action.
func (a *action) checkCaching() []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("action %s: "+format, append([]any{a.declared.Name}, args...)...))
	}
	tags := a.declared.Invalidates
	if c := a.declared.Cache; c != nil {
		tags = append(slices.Clip(tags), c.Tags...)
		if !a.isSafe() {
			fault("Cache and CollapseOnly need a safe action; see Safe")
		}
		stale := max(c.StaleWhileRevalidateMillis, c.StaleIfErrorMillis)
		if stale > 0 && c.TTLMillis == 0 || stale > maxTTL.Milliseconds() ||
			c.StaleWhileRevalidateMillis < 0 || c.StaleIfErrorMillis < 0 {
			fault("StaleWhileRevalidate and StaleIfError need Cache, and a time from 0 to %v", maxTTL)
		}
	}
	if len(a.declared.Invalidates) > 0 && a.isSafe() {
		fault("Invalidates needs an unsafe action; see Unsafe")
	}
	for _, tag := range tags {
		if err := cache.CheckTag(tag, len(a.args)); err != nil {
			fault("%w", err)
		}
	}
	return faults
}

// InvalidateAction is the name of an action that is added to every service with cached
// answers. Its arguments are tags; it invalidates the answers that have one of them.
const InvalidateAction = "INVALIDATE"

// addInvalidate declares InvalidateAction, if the service has cached answers and has not
// declared an action of that name itself.
func (s *Service) addInvalidate() {
	if s.byName[InvalidateAction] != nil {
		return
	}
	cached := false
	for _, a := range s.actions {
		cached = cached || a.declared.Cache != nil
	}
	if !cached {
		return
	}
	a := newAction[Invalidated](InvalidateAction, []ActionOption{Unsafe(), Summary("Makes the cached answers with these tags stale")})
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		tags := make([]string, len(args))
		for i, arg := range args {
			if json.Unmarshal(arg, &tags[i]) != nil || cache.CheckTag(tags[i], 0) != nil {
				return nil, BadRequest(FieldError{Field: "args", Problem: fmt.Sprintf("argument %d is not a tag", i)})
			}
		}
		if len(tags) == 0 {
			return nil, BadRequest(FieldError{Field: "args", Problem: "want at least one tag"})
		}
		Invalidate(ctx, tags...)
		return Invalidated{Tags: tags}, nil
	}
	s.add(a)
}

// Invalidated is the result of InvalidateAction: the tags that it invalidated.
type Invalidated struct {
	Tags []string `json:"invalidated"`
}

// invalidate invalidates the answers that a run may have changed. It is called before the
// outcome of the run is sent, and returns the tags, which go with the outcome.
func (e *executor) invalidate(ctx context.Context, a *action, r *wire.Request, s *state) []string {
	s.mu.Lock()
	tags := s.tags
	s.mu.Unlock()
	for _, template := range a.declared.Invalidates {
		tag, err := cache.Tag(template, r.Args)
		if err != nil { // an argument is missing: no entry has such a tag
			continue
		}
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 || e.invalidator == nil {
		return tags
	}
	// The invalidator logs an error, and tries again.
	_ = e.invalidator.Invalidate(context.WithoutCancel(ctx), e.service.name, tags...)
	return tags
}
