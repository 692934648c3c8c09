package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/internal/lograte"
	"github.com/oskadev/mailroom/internal/token"
)

// Cache is the part of the shared cache in one process. It is safe for concurrent
// use.
type Cache struct {
	cfg          Config
	keys         keys
	pipe         *pipeline
	local        *local
	memory       *memoryMonitor
	subscription *subscription
	nonces       redis.Cmdable
	epochs       *epochs
	filler       *filler
	leases       *leaseKeeper
	hints        *hints
	tasks        *tasks
	counts       *counts
	logs         lograte.Limiter // lines about unreadable messages
	joinable
}

// joinable holds what callers can join.
type joinable struct {
	mu      sync.Mutex
	lookups map[string]*lookup // not sent yet, by digest and mode
	flights map[string]*flight // by digest and nonces
}

// client is a redis.UniversalClient, which New checks. It names less of it to keep builds
// fast (CONTRIBUTING.md, "Imports").
type client interface {
	redis.Cmdable
	Process(ctx context.Context, cmd redis.Cmder) error
}

// New returns a running cache on a Redis or a Redis cluster, whose client is a
// redis.UniversalClient. Close the cache after the last query.
func New(rdb client, cfg Config) (*Cache, error) {
	whole, ok := rdb.(redis.UniversalClient)
	if !ok {
		return nil, fmt.Errorf("%T cannot subscribe: pass a redis.UniversalClient", rdb)
	}
	cfg.setDefaults()
	entries, err := newLocal(&cfg)
	if err != nil {
		return nil, err
	}
	c := &Cache{
		cfg: cfg, keys: keys{cfg.Namespace}, pipe: newPipeline(rdb, &cfg), local: entries, memory: newMemoryMonitor(rdb, &cfg),
		nonces: rdb, hints: newHints(), tasks: newTasks(), counts: &counts{},
		joinable: joinable{lookups: make(map[string]*lookup), flights: make(map[string]*flight)},
	}
	c.epochs = newEpochs(rdb, &cfg, c.newEpoch)
	c.pipe.failed = c.epochs.suspect
	c.subscription = newSubscription(func(ctx context.Context) pubsub { return whole.Subscribe(ctx) }, &cfg, entries, c.handed)
	c.filler = &filler{cfg: &c.cfg, keys: c.keys, pipe: c.pipe, local: entries, memory: c.memory, counts: c.counts}
	c.leases = newLeaseKeeper(c.pipe, &cfg)
	for range pipelines {
		c.tasks.loop(c.pipe.run)
	}
	c.tasks.loop(c.subscription.run)
	c.tasks.loop(c.memory.run)
	c.tasks.loop(c.epochs.run)
	c.tasks.loop(c.leases.run)
	return c, nil
}

// Close stops the cache. Callers that still wait get ErrClosed.
func (c *Cache) Close() {
	c.leases.close()
	c.tasks.close()
	c.local.close()
}

// Local returns the local entry of a query, if there is one. It costs little time
// and allocates no memory.
func (c *Cache) Local(space, identity string) (Answer, bool) {
	a, ok := c.local.get(space, identity)
	if ok {
		c.counts.answers[Local].Add(1)
	}
	return a, ok
}

// Drop drops the local entries that have one of the tags. Other processes drop
// theirs when they receive the invalidation.
func (c *Cache) Drop(space string, tags ...string) { c.local.drop(space, tags) }

// Do answers a query from an entry, by the run of an identical query, or by a run
// of its own. Without Redis, each query runs. Do returns ErrNotStored, ErrCrowded,
// ErrClosed, the error of the context, or an error for a run that panicked.
func (c *Cache) Do(ctx context.Context, q *Query, run Run) (Answer, error) {
	if !q.Refresh {
		if a, ok := c.Local(q.Space, q.Identity); ok {
			return a, nil
		}
	}
	a, err := c.do(ctx, q, run)
	if err == nil {
		c.counts.answers[a.Source].Add(1)
	}
	return a, err
}

func (c *Cache) do(ctx context.Context, q *Query, run Run) (Answer, error) {
	if c.pipe.away() {
		return c.bypass(q, run)
	}
	l, first, err := c.lookUp(q, c.modeOf(q), run)
	if errors.Is(err, errNoEpoch) {
		return c.bypass(q, run)
	}
	if err != nil {
		return Answer{}, err
	}
	leave := ctx.Done()
	if first && q.Inline {
		leave = nil // this caller may have to run the query; the lookup ends within Config.Timeout
	}
	select {
	case <-l.done:
	case <-leave:
		return Answer{}, ctx.Err()
	}
	found := &l.result
	switch {
	case found.err != nil:
		c.cfg.Logger.Debug("the lookup in the cache failed", "space", q.Space, "error", found.err)
		return c.bypass(q, run)
	case found.flight == nil && found.entry.exists():
		return found.entry.answer(Shared, time.Now(), q.Policy.stale()), nil
	case found.flight == nil:
		return c.bypass(q, run)
	case found.entry.isStaleWithin(q.Policy.StaleWhileRevalidate):
		return found.entry.answer(Revalidating, time.Now(), q.Policy.stale()), nil
	}
	return c.await(ctx, q, l, first)
}

// errNoEpoch: Redis did not tell which epoch it is.
var errNoEpoch = errors.New("the epoch of the cache is not known")

// epoch returns the epoch of a space. If Redis does not answer, the cache does not use it for
// a while.
func (c *Cache) epoch(space string) (string, error) {
	epoch, err := c.epochs.of(c.tasks.ctx, space)
	if err != nil {
		c.pipe.rested()
		return "", fmt.Errorf("%w: %w", errNoEpoch, err)
	}
	return epoch, nil
}

// newEpoch drops everything of the epoch before.
func (c *Cache) newEpoch(spaces []string) {
	c.cfg.Logger.Warn("Redis failed over or was restarted, earlier cache entries are not used", "spaces", len(spaces))
	c.local.clear()
	c.cfg.OnGap()
}

// modeOf returns the mode in which a query looks up.
func (c *Cache) modeOf(q *Query) string {
	switch {
	case q.OnlyStored:
		return modePeek
	case q.Refresh:
		return modeFresh
	case c.memory.full.Load():
		return modePeek // it writes neither nonces nor leases
	}
	return modeLook
}

// await waits for the flight that a lookup started or joined.
func (c *Cache) await(ctx context.Context, q *Query, l *lookup, first bool) (Answer, error) {
	found := &l.result
	f, leads := found.flight, first && found.led
	c.mu.Lock()
	crowded := f.waiting >= c.cfg.MaxWaiting && !leads
	if !crowded {
		f.waiting++
	}
	c.mu.Unlock()
	if crowded {
		return Answer{}, ErrCrowded
	}
	leave := ctx.Done()
	if leads && found.inline != nil {
		f.leadInline(found.inline, l.run)
		leave = nil // the flight has ended
	}
	select {
	case <-f.done:
	case <-leave:
		return Answer{}, ctx.Err()
	}
	if (f.err != nil || f.outcome.Broken) && found.entry.isStaleWithin(q.Policy.StaleIfError) {
		return found.entry.answer(Stale, time.Now(), q.Policy.stale()), nil
	}
	if f.err != nil {
		return Answer{}, f.err
	}
	a := Answer{Value: f.outcome.Value, Source: Joined, Left: q.Policy.TTL, Expired: found.entry.exists()}
	if leads && !f.joined {
		a.Source = Led
	}
	return a, nil
}

// bypass runs a query without the cache.
func (c *Cache) bypass(q *Query, run Run) (Answer, error) {
	if q.OnlyStored {
		return Answer{}, ErrNotStored
	}
	o, err := c.runGuarded(q, run)
	return Answer{Value: o.Value, Source: Bypassed}, err
}

// Stats holds counts since the start, and the present state.
type Stats struct {
	// Answers counts the answers by source.
	Answers map[Source]uint64
	// Stored counts the entries written to Redis.
	Stored uint64
	// LocalBytes is the approximate memory of the local entries, in bytes.
	LocalBytes uint64
	// Away reports that Redis did not answer in the last Config.Away.
	Away bool
	// Deaf reports that the process does not receive invalidations: its local entries
	// may be stale for up to Config.LocalTTL.
	Deaf bool
	// Full reports that Redis has no room for more entries.
	Full bool
}

// counts are the counters of Stats.
type counts struct {
	answers [sources]atomic.Uint64
	stored  atomic.Uint64
}

// Stats returns what the cache has done, and its present state.
func (c *Cache) Stats() Stats {
	s := Stats{
		Answers: make(map[Source]uint64, sources), Stored: c.counts.stored.Load(), LocalBytes: c.local.size(),
		Away: c.pipe.away(), Full: c.memory.full.Load(), Deaf: !c.subscription.hears.Load(),
	}
	for i := range c.counts.answers {
		s.Answers[Source(i)] = c.counts.answers[i].Load()
	}
	return s
}

// nonceTTL is the time to live of a nonce that was made for a subscriber.
const nonceTTL = 24 * time.Hour

// Nonce returns the nonce of a tag with the epoch, which changes with every invalidation of
// the tag and with every epoch, and makes one if there is none (SET NX GET). Two equal nonces
// say that nothing was invalidated between the two calls.
func (c *Cache) Nonce(ctx context.Context, space, tag string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	epoch, err := c.epochs.of(ctx, space)
	if err != nil {
		return "", err
	}
	fresh := token.New(token.NameBytes)
	nonce, err := c.nonces.SetArgs(ctx, c.keys.tag(space, tag), fresh, redis.SetArgs{Mode: "NX", TTL: nonceTTL, Get: true}).Result()
	switch {
	case err == redis.Nil: //nolint:errorlint // there was none
		nonce = fresh
	case err != nil:
		return "", fmt.Errorf("read the nonce of %s: %w", tag, err)
	}
	return nonce + epoch, nil
}
