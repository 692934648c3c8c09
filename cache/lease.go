package cache

import (
	"context"
	"sync"
	"time"
)

// lease is the right of this process to run a query, for all callers that read the
// same nonces.
type lease struct {
	query  *Query
	digest string
	nonces string
	token  string
	fresh  bool      // a lease of its own, beside that of another leader
	vacant bool      // no entry existed at the lookup
	since  time.Time // when the lookup was sent
}

// mode returns the mode of the lookup that took the lease.
func (l *lease) mode() string {
	if l.fresh {
		return modeFresh
	}
	return modeLook
}

// leaseKeeper extends the leases of long runs, so that no other process runs their
// queries meanwhile.
type leaseKeeper struct {
	keys keys
	pipe *pipeline
	life time.Duration // of a lease

	mu     sync.Mutex
	kept   map[*lease]*keptLease
	closed bool
}

// keptLease is the state of a lease that is kept.
type keptLease struct {
	since     time.Time
	extending bool // a command is on its way
}

func newLeaseKeeper(pipe *pipeline, cfg *Config) *leaseKeeper {
	return &leaseKeeper{keys: keys{cfg.Namespace}, pipe: pipe, life: cfg.Lease, kept: make(map[*lease]*keptLease)}
}

// keep extends a lease until drop is called.
func (k *leaseKeeper) keep(l *lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[l] = &keptLease{since: time.Now()}
}

func (k *leaseKeeper) drop(l *lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.kept, l)
}

// close ends all extensions.
func (k *leaseKeeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
}

// run extends the leases three times in the life of one, until the context ends. A
// lease that could not be extended may still exist at the next try.
func (k *leaseKeeper) run(ctx context.Context) {
	ticker := time.NewTicker(k.life / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !k.pipe.away() {
			k.extendAll()
		}
	}
}

func (k *leaseKeeper) extendAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for l, state := range k.kept {
		if !k.closed && !state.extending && now.Sub(state.since) >= k.life/6 { // most runs are shorter
			state.extending = true
			k.pipe.add(k.extend(l, state))
		}
	}
}

func (k *leaseKeeper) extend(l *lease, state *keptLease) *command {
	key := k.keys.lease(l.query.Space, l.digest, l.nonces)
	if l.fresh {
		key += ":fresh"
	}
	return &command{
		script: &k.pipe.scripts.extend, keys: []string{key},
		args: []any{l.token, k.life.Milliseconds()},
		done: func(any, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			state.extending = false
		},
	}
}
