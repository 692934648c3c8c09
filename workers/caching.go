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

// longestTTL bounds how long answers are kept.
const longestTTL = 24 * time.Hour

func (a *action) caching() *wire.Caching {
	if a.cache == nil {
		a.cache = &wire.Caching{}
	}
	return a.cache
}

// Cache has the answers of a safe action shared by all gateways: identical
// requests at the same time run once, and the answer is used for so long, from 1 ms
// to 24 h, or until one of the tags is invalidated. In a tag, {0} is the first
// argument. Each principal has answers of its own, unless the action is Public.
func Cache(ttl time.Duration, tags ...string) ActionOption {
	return func(a *action) {
		c := a.caching()
		c.TTLMillis, c.Tags = ttl.Milliseconds(), append(c.Tags, tags...)
		if ttl < time.Millisecond || ttl > longestTTL {
			a.faults = append(a.faults, fmt.Errorf("action %s: Cache for %v: want 1 ms to %v; see CollapseOnly", a.name, ttl, longestTTL))
		}
	}
}

// CollapseOnly has identical requests that are made at the same time run once;
// the answer is not kept. Without tags, a request may get the answer of a run that
// began before it.
func CollapseOnly(tags ...string) ActionOption {
	return func(a *action) { a.caching().Tags = append(a.caching().Tags, tags...) }
}

// StaleWhileRevalidate has a cached answer given for so long after its TTL, while
// a new one is made (RFC 5861).
func StaleWhileRevalidate(d time.Duration) ActionOption {
	return func(a *action) { a.caching().StaleWhileRevalidateMillis = d.Milliseconds() }
}

// StaleIfError has a cached answer given for so long after its TTL when no new one
// can be made: the service does not answer, or with a status of 500 and more (RFC
// 5861).
func StaleIfError(d time.Duration) ActionOption {
	return func(a *action) { a.caching().StaleIfErrorMillis = d.Milliseconds() }
}

// Public says that an answer is the same whoever asks, so that all share it.
func Public() ActionOption {
	return func(a *action) { a.caching().Public = true }
}

// Invalidates has an unsafe action make every cached answer of its service with
// any of these tags stale, also one that is being made, before its own answer is
// given: whatever its outcome. In a tag, {0} is the first argument. See Invalidate
// for tags that only the handler knows.
func Invalidates(tags ...string) ActionOption {
	return func(a *action) { a.invalidates = append(a.invalidates, tags...) }
}

// Invalidate is Invalidates for a tag that is known only when the handler runs. It
// happens when the handler has ended, before its answer is given.
func Invalidate(ctx context.Context, tags ...string) {
	if s := stateOf(ctx); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tags = append(s.tags, tags...)
	}
}

// checkCaching says what is wrong with what was declared of the cache.
func (a *action) checkCaching() []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("action %s: "+format, append([]any{a.name}, args...)...))
	}
	tags := a.invalidates
	if c := a.cache; c != nil {
		tags = append(slices.Clip(tags), c.Tags...)
		if !a.isSafe() {
			fault("Cache and CollapseOnly are for safe actions")
		}
		stale := max(c.StaleWhileRevalidateMillis, c.StaleIfErrorMillis)
		if stale > 0 && c.TTLMillis == 0 || stale > longestTTL.Milliseconds() ||
			c.StaleWhileRevalidateMillis < 0 || c.StaleIfErrorMillis < 0 {
			fault("StaleWhileRevalidate and StaleIfError want a Cache, and 0 to %v", longestTTL)
		}
	}
	if len(a.invalidates) > 0 && a.isSafe() {
		fault("Invalidates is for unsafe actions")
	}
	for _, tag := range tags {
		if err := cache.CheckTag(tag, len(a.args)); err != nil {
			fault("%w", err)
		}
	}
	return faults
}

// InvalidateAction is the action that every service with a cache has, for people
// and for programs: its arguments are tags.
const InvalidateAction = "INVALIDATE"

// addInvalidate declares it, unless the service has no use for it or an own one.
func (s *Service) addInvalidate() {
	if s.byName[InvalidateAction] != nil {
		return
	}
	cached := false
	for _, a := range s.actions {
		cached = cached || a.cache != nil
	}
	if !cached {
		return
	}
	a := newAction[Invalidated](InvalidateAction, []ActionOption{Unsafe(), Summary("Makes the cached answers with these tags stale")})
	a.call = func(ctx context.Context, args []json.RawMessage) (any, error) {
		tags := make([]string, len(args))
		for i, arg := range args {
			if json.Unmarshal(arg, &tags[i]) != nil || cache.CheckTag(tags[i], 0) != nil {
				return nil, BadRequest(FieldError{Field: "args", Problem: fmt.Sprintf("argument %d is no tag", i)})
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

// Invalidated says which tags were invalidated.
type Invalidated struct {
	Tags []string `json:"invalidated"`
}

// invalidate makes stale what a run may have changed, before anybody hears of the
// run. It returns the tags, for those who do.
func (e *executor) invalidate(ctx context.Context, a *action, r *wire.Request, s *state) []string {
	s.mu.Lock()
	tags := s.tags
	s.mu.Unlock()
	for _, template := range a.invalidates {
		tag, err := cache.Tag(template, r.Args)
		if err != nil { // an argument was left out: then there is nothing of that name
			continue
		}
		tags = append(tags, tag)
	}
	if len(tags) == 0 || e.invalidator == nil {
		return tags
	}
	// What cannot be told now is tried again, and logged, by the invalidator.
	_ = e.invalidator.Invalidate(context.WithoutCancel(ctx), e.service.name, tags...)
	return tags
}
