package tokens

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// keyring keeps the keys of now. One goroutine loads them, for all.
type keyring struct {
	source  source
	log     *slog.Logger
	now     func() time.Time
	refresh time.Duration // between loads that nobody asked for
	refetch time.Duration // before another that somebody asks for, or after a failure
	current atomic.Pointer[keySet]
	asked   chan chan error

	// Only the goroutine's.
	tried  time.Time
	failed error
}

func newKeyring(c *Config) (*keyring, error) {
	from, err := c.newSource()
	if err != nil {
		return nil, err
	}
	r := &keyring{source: from, log: c.Logger, now: c.Now, refresh: c.Refresh, refetch: c.Refetch, asked: make(chan chan error)}
	if _, ok := from.(*file); ok {
		r.refresh, r.refetch = time.Second, time.Second
		// A file that cannot be read is the operator's mistake; a server that does not
		// answer may come back.
		set, err := from.load(context.Background())
		if err != nil {
			return nil, err
		}
		r.current.Store(set)
	}
	return r, nil
}

// run loads the keys until the context ends.
func (r *keyring) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(r.load(ctx))
		case answer := <-r.asked:
			if r.now().Sub(r.tried) >= r.refetch {
				timer.Reset(r.load(ctx))
			}
			answer <- r.failed
		}
	}
}

// load loads the keys, and says when to do so again. Those that are known go on
// when it fails.
func (r *keyring) load(ctx context.Context) time.Duration {
	r.tried = r.now()
	set, err := r.source.load(ctx)
	switch {
	case ctx.Err() != nil:
		return r.refresh
	case err != nil && r.failed == nil:
		r.log.ErrorContext(ctx, "cannot load the keys of tokens, trying again; those that are known go on", "error", err)
	case err == nil && r.failed != nil:
		r.log.InfoContext(ctx, "the keys of tokens are loaded again")
	}
	r.failed = err
	if err != nil {
		return r.refetch
	}
	if set != nil {
		r.current.Store(set)
	}
	return r.refresh
}

// mostWait is how long a call waits for keys, where a load does not end by itself.
const mostWait = 2 * time.Second

// find gives the key for a token, and the set that it is from. A key that is not
// known may be new: then the set is loaded again, unless that was done just now. An
// error means that it is not known either way.
func (r *keyring) find(ctx context.Context, id, algorithm string) (any, *keySet, error) {
	set := r.current.Load()
	if key := set.find(id, algorithm); key != nil {
		return key, set, nil
	}
	ctx, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	answer := make(chan error, 1)
	select {
	case r.asked <- answer:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	set = r.current.Load()
	if key := set.find(id, algorithm); key != nil {
		return key, set, nil
	}
	return nil, nil, err
}
