package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/rediserr"
)

// look reads these services, or all if names is nil.
func (r *Registry) look(ctx context.Context, readers *readers, names []string) error {
	r.looking.Lock()
	defer r.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.conn.Timeout())
	defer cancel()
	before, all := r.Snapshot(), names == nil
	next := make(Snapshot, len(before))
	if !all {
		maps.Copy(next, before)
	} else {
		var bare []string
		var err error
		if names, bare, err = r.names(ctx, readers, before); err != nil {
			return err
		}
		for _, name := range bare {
			if next[name] = before[name]; next[name] == nil {
				next[name] = &Service{Name: name}
			}
		}
	}
	found, err := r.read(ctx, readers, names, before)
	if err != nil {
		return err
	}
	for _, s := range found {
		if all || before[s.Name] != nil || s.Live() { // anyone may announce any name
			next[s.Name] = s
		}
	}
	if all {
		r.forget(next)
	}
	r.bound(next, before)
	maps.DeleteFunc(r.states, func(name string, _ *state) bool { return next[name] == nil })
	maps.DeleteFunc(r.gone, func(name string, _ time.Time) bool { return next[name] == nil })
	r.publish(next)
	if all {
		r.looked.Store(true)
	}
	return nil
}

// names lists the services to read: those with a name, and the known ones. If Redis lost
// its data, these have no workers until the next heartbeats. bare are services of which
// nothing but the name is known, now either.
func (r *Registry) names(ctx context.Context, readers *readers, before Snapshot) (names, bare []string, err error) {
	names = slices.Collect(maps.Keys(before))
	if r.follows != nil {
		names = slices.AppendSeq(names, maps.Keys(r.follows))
		slices.Sort(names)
		return slices.Compact(names), nil, nil
	}
	one := readers.take(1)[0]
	listed, gone, err := r.scan.next(ctx, one, before)
	if err != nil {
		return nil, nil, fmt.Errorf("read the known services: %w", err)
	}
	now := time.Now()
	for _, name := range gone {
		if _, known := r.gone[name]; !known {
			r.gone[name] = now
		}
	}
	for _, name := range listed {
		delete(r.gone, name)
	}
	names = append(names, listed...)
	slices.Sort(names)
	if names, bare, err = choose(ctx, one, slices.Compact(names), before); err != nil {
		return nil, nil, fmt.Errorf("count the workers: %w", err)
	}
	return names, bare, nil
}

// forget removes the services whose names are gone and that have no workers.
func (r *Registry) forget(next Snapshot) {
	for name, s := range next {
		if gone, missed := r.gone[name]; missed && !s.Live() && time.Since(gone) >= r.limits.forget {
			delete(next, name)
		}
	}
}

// bound removes services over the limit: first those of which nothing but the name is
// known, and of these first the new ones.
func (r *Registry) bound(next, before Snapshot) {
	over := len(next) - r.limits.names
	if over <= 0 || r.follows != nil {
		return
	}
	rank := func(name string) int {
		s, rank := next[name], 0
		if s.Live() {
			rank += 4
		}
		if s.Manifest != nil {
			rank += 2
		}
		if before[name] != nil {
			rank++
		}
		return rank
	}
	names := slices.Sorted(maps.Keys(next))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, name := range names[:over] {
		delete(next, name)
	}
	r.logs.Warn(r.conn.Log(), "too many names of services, the rest is ignored", "limit", r.limits.names)
}

// read reads services, several at a time. A service that cannot be read does not affect the
// others.
func (r *Registry) read(ctx context.Context, readers *readers, names []string, before Snapshot) ([]*Service, error) {
	found, failed := make([]*Service, len(names)), make([]error, len(names))
	states := make([]*state, len(names))
	for i, name := range names {
		if wire.CheckServiceName(name) != nil {
			continue
		}
		if states[i] = r.states[name]; states[i] == nil {
			states[i] = newState()
			r.states[name] = states[i]
		}
	}
	due := make(chan int, len(names))
	for i := range names {
		if states[i] != nil {
			due <- i
		}
	}
	close(due)
	var running sync.WaitGroup
	for _, one := range readers.take(min(parallel, len(names))) {
		running.Go(func() {
			for i := range due {
				v := visit{reader: one, limits: &r.limits, name: names[i], before: before[names[i]], state: states[i]}
				found[i], failed[i] = v.read(ctx)
			}
		})
	}
	running.Wait()
	return r.sort(names, found, failed, before)
}

// sort returns the services that were read. It returns an error if Redis refuses the user,
// or none could be read.
func (r *Registry) sort(names []string, found []*Service, failed []error, before Snapshot) ([]*Service, error) {
	var services []*Service
	for i, err := range failed {
		switch {
		case rediserr.IsRefused(err): // a refusal concerns all services
			return nil, err
		case err == nil && found[i] != nil:
			services = append(services, found[i])
		}
	}
	first := cmp.Or(failed...)
	if first == nil {
		return services, nil
	}
	if len(services) == 0 && !slices.ContainsFunc(failed, own) {
		return nil, first
	}
	for i, err := range failed {
		if err != nil {
			services = append(services, unread(names[i], err, before[names[i]], r.conn.Clock.Millis()))
		}
	}
	return services, nil
}

// publish sets the current snapshot and reports a change.
func (r *Registry) publish(next Snapshot) {
	before := r.Snapshot()
	r.current.Store(&next)
	same := maps.EqualFunc(before, next, func(a, b *Service) bool {
		return a.digests == b.digests && a.Live() == b.Live() && a.Paused == b.Paused && a.Fault == b.Fault
	})
	for name, s := range next {
		if s.Fault != "" && (before[name] == nil || before[name].Fault != s.Fault) {
			r.logs.Error(r.conn.Log(), "a service is over a limit or cannot be read, its last good manifest stays in force",
				"service", name, "reason", s.Fault)
		}
	}
	if !same && r.onChange != nil {
		r.onChange(next)
	}
}

// own reports whether a service itself caused that it cannot be read.
func own(err error) bool { return err != nil && (errors.Is(err, errTooLong) || rediserr.IsServer(err)) }
