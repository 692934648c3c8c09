package tokens

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// keyring holds the current keys. One goroutine loads them.
type keyring struct {
	source  source
	log     *slog.Logger
	now     func() time.Time
	refresh time.Duration // between periodic loads
	refetch time.Duration // minimum time before a requested load, and after a failure
	current atomic.Pointer[keySet]
	reloads chan chan error // requests for a load; each gets the error of the last load

	// The goroutine alone uses these.
	tried  time.Time
	failed error
}

func newKeyring(c *Config) (*keyring, error) {
	from, err := c.newSource()
	if err != nil {
		return nil, err
	}
	r := &keyring{source: from, log: c.Logger, now: c.Now, refresh: c.Refresh, refetch: c.Refetch, reloads: make(chan chan error)}
	if _, ok := from.(*file); ok {
		r.refresh, r.refetch = time.Second, time.Second
		// A file that cannot be read is a mistake of the operator; a server that does not
		// answer may answer later.
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
		case answer := <-r.reloads:
			if r.now().Sub(r.tried) >= r.refetch {
				timer.Reset(r.load(ctx))
			}
			answer <- r.failed
		}
	}
}

// load loads the keys and returns the time until the next load. When it fails, the
// current keys stay.
func (r *keyring) load(ctx context.Context) time.Duration {
	r.tried = r.now()
	set, err := r.source.load(ctx)
	switch {
	case ctx.Err() != nil:
		return r.refresh
	case err != nil && r.failed == nil:
		r.log.ErrorContext(ctx, "cannot load the keys of tokens, keeping the current keys and trying again", "error", err)
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

// maxWait bounds the time that a request waits for keys.
const maxWait = 2 * time.Second

// find returns the key for a token and its set; a nil key: no key verifies the token. An
// unknown key may be new: the set is loaded again, at most once per refetch. An error
// means that the keys could not be loaded.
func (r *keyring) find(ctx context.Context, id, algorithm string) (any, *keySet, error) {
	set := r.current.Load()
	if key := set.find(id, algorithm); key != nil {
		return key, set, nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	answer := make(chan error, 1)
	select {
	case r.reloads <- answer:
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
